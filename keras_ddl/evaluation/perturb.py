"""Perturbations of whole frames: what happens to a video between a camera and a moderator.

Seven families at the five levels of DeeperForensics-1.0 (saturation, contrast, block noise,
Gaussian noise, Gaussian blur, pixelation, H.264), and four more that files and streams meet: JPEG,
lost frames, a lower frame rate, and a low one stored as a higher.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame, VideoWriter, read_video

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]

LEVELS = (1, 2, 3, 4, 5)
BLOCK = 8  # pixels
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Family:
    """A kind of perturbation.

    Args:
        unit: What the values are.
        values: One per level, 1 (mild) to 5 (strong).
    """

    unit: str
    values: tuple[float, ...]


FAMILIES = {
    "saturation": Family("share of the colour kept", (0.4, 0.3, 0.2, 0.1, 0.0)),
    "contrast": Family("share of the contrast kept", (0.85, 0.725, 0.6, 0.475, 0.35)),
    "block noise": Family("random 8 × 8 blocks a frame", (16, 32, 48, 64, 80)),
    "Gaussian noise": Family("variance, for values in [0, 1]", (0.001, 0.002, 0.005, 0.01, 0.05)),
    "Gaussian blur": Family("side of the kernel, pixels", (7, 9, 13, 17, 21)),
    "pixelation": Family("pixels merged along a side", (2, 3, 4, 5, 6)),
    "H.264": Family("constant rate factor", (30, 32, 35, 38, 40)),
    "JPEG": Family("quality", (90, 70, 50, 30, 10)),
    "lost frames": Family("share lost; time stamps stay", (0.02, 0.05, 0.1, 0.2, 0.4)),
    "frame rate": Family("frames per second", (24, 15, 12, 10, 8)),
    "repeated frames": Family("frames per second shown, each repeated", (20, 15, 12, 10, 5)),
}


def perturb(frames: Iterable[Frame], family: str, level: int, seed: int = 0) -> Iterator[Frame]:
    """Change the frames of a video.

    Args:
        frames: Whole frames, uint8 (H, W, 3) RGB, with their times.
        family: A key of `FAMILIES`.
        level: 1 (mild) to 5 (strong).
        seed: Of what is drawn at random; one sequence for the whole video.

    Yields:
        Frames of the same size and time; fewer of them for `lost frames` and `frame rate`, which
        gives them even times.

    Raises:
        UserError: An unknown family or level.
    """
    if family not in FAMILIES or level not in LEVELS:
        known = ", ".join(FAMILIES)
        raise UserError(
            f"expected a perturbation of {known} at level 1 to 5, received {family!r}, {level}"
        )
    value = FAMILIES[family].values[level - 1]
    random = np.random.default_rng(seed)
    if family == "H.264":
        return _compressed(frames, int(value))
    if family == "lost frames":
        return (frame for frame in frames if random.random() >= value)
    if family == "frame rate":
        return _slower(frames, 1000 / value)
    if family == "repeated frames":
        return _repeated(frames, 1000 / value)
    change: Change = partial(_CHANGES[family], value)
    return (replace(frame, image=change(frame.image, random)) for frame in frames)


def _saturation(value: float, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    grey = (image @ np.array(LUMA))[..., None]
    return _bytes(grey + value * (image - grey))


def _contrast(value: float, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Towards mid-grey, as the benchmark does it, not towards the picture's mean."""
    return _bytes(127.5 + value * (image.astype(np.float32) - 127.5))


def _block_noise(value: float, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Grey blocks at random places; the published counts are for 256 × 256 pixels.

    The benchmark scales the count by (side // 256)², which is nothing below 256 pixels; here it
    goes with the area, so that small pictures meet the same density.
    """
    image = image.copy()
    height, width = image.shape[:2]
    count = max(1, round(value * height * width / 256**2))
    for _ in range(count):
        y, x = random.integers(0, max(1, height - BLOCK)), random.integers(0, max(1, width - BLOCK))
        image[y : y + BLOCK, x : x + BLOCK] = random.integers(0, 256, 3)
    return image


def _noise(value: float, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    pattern = random.standard_normal(image.shape, np.float32)
    return _bytes(image + 255 * np.float32(np.sqrt(value)) * pattern)


def _blur(value: float, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    import cv2

    side = int(value)
    blurred: np.ndarray = cv2.GaussianBlur(image, (side, side), side / 6)
    return blurred


def _pixelation(value: float, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    import cv2

    height, width = image.shape[:2]
    small = (max(1, round(width / value)), max(1, round(height / value)))
    reduced = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    enlarged: np.ndarray = cv2.resize(reduced, (width, height), interpolation=cv2.INTER_NEAREST)
    return enlarged


def _jpeg(value: float, image: np.ndarray, random: np.random.Generator) -> np.ndarray:
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(value)])
    decoded: Any = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1])


_CHANGES = {
    "saturation": _saturation,
    "contrast": _contrast,
    "block noise": _block_noise,
    "Gaussian noise": _noise,
    "Gaussian blur": _blur,
    "pixelation": _pixelation,
    "JPEG": _jpeg,
}


def _compressed(frames: Iterable[Frame], crf: int) -> Iterator[Frame]:
    """Through a file: encoded, and decoded again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video.mp4"
        times = []
        with VideoWriter(path, 25, crf=crf) as writer:
            for frame in frames:
                writer.write(frame.image)
                times.append(frame.time_ms)
        for frame, time_ms in zip(read_video(path), times, strict=False):
            yield replace(frame, time_ms=time_ms)


def _repeated(frames: Iterable[Frame], period_ms: float) -> Iterator[Frame]:
    """Show a frame only where a slower camera would have taken one; repeat it until the next."""
    shown: np.ndarray | None = None
    due = -np.inf
    for frame in frames:
        if frame.time_ms >= due - 1e-6:
            shown = frame.image
            due = frame.time_ms if not np.isfinite(due) else due
            while due <= frame.time_ms + 1e-6:
                due += period_ms
        yield replace(frame, image=frame.image if shown is None else shown)


def _slower(frames: Iterable[Frame], period_ms: float) -> Iterator[Frame]:
    """The frames nearest to a slower camera's ticks, each at its tick; a slow video as it is."""
    before: Frame | None = None
    due = 0.0
    for frame in frames:
        if before is None:
            due = frame.time_ms
        elif frame.time_ms - before.time_ms >= period_ms:
            yield before
            due = frame.time_ms
        elif due <= (before.time_ms + frame.time_ms) / 2:
            yield replace(before, time_ms=due)
            due += period_ms
        before = frame
    if before is not None and due <= before.time_ms + period_ms / 2:
        yield replace(before, time_ms=due)


def _bytes(values: np.ndarray) -> np.ndarray:
    clipped: np.ndarray = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped
