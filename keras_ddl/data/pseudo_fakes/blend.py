"""Pseudo-fakes: a real clip's face blended back into it, beside a twin that stayed real.

As in self-blended images, source and target are the same clip, and either may be changed: its
colour, light, sharpness or texture, and a little its shape. In a share of the fakes the source is
another person's face, laid over the target's and given its colours. The fake carries the source's
face inside the target, so that the one thing that only fakes have is a border between two
statistics, steady or restless. Whatever else is drawn (the target's change, flicker, white balance,
blur, noise, resampling, warps, compression, doubled frames) the twin gets too.

Shiohara and Yamasaki, Detecting Deepfakes with Self-Blended Images, CVPR 2022, section 3; drift of
facial features over time: Yan et al., video-level blending, 2024; other people's faces: Li et al.,
Face X-ray, CVPR 2020, section 3.2. The series over time are this project's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_ddl.data.prepared import WIDER
from keras_ddl.data.pseudo_fakes.appearance import Appearance, draw_appearance
from keras_ddl.data.pseudo_fakes.donor import laid_over
from keras_ddl.data.pseudo_fakes.fluctuation import fluctuation, memory_ms
from keras_ddl.data.pseudo_fakes.regions import outline, soft_mask
from keras_ddl.data.pseudo_fakes.texture import as_jpeg, at_resolution, draw_texture
from keras_ddl.data.pseudo_fakes.wide import WideFrames
from keras_ddl.edge.faces.crop import square_crop

REGIONS = {  # share of the fakes
    "face": 0.4,
    "head": 0.1,
    "middle": 0.2,
    "lower half": 0.1,
    "mouth": 0.12,
    "eyes": 0.08,
}
OPACITIES = (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)  # as in self-blended images
SHIFT, ZOOM, TREMBLE = 0.04, 0.08, 0.006  # of a crop, shares of its side
GRID = 5  # control points of a warp, in either direction


@dataclass(frozen=True)
class Blend:
    """One of two twins.

    Args:
        frames: uint8, (T, H, W, 3), RGB.
        masks: float32, (T, H, W): share of the pixel that comes from the source, in [0, 1]; 0 all
            over in the real twin.
    """

    frames: np.ndarray
    masks: np.ndarray


def blended_crop(
    clip: WideFrames, seed: Any, fake: bool, size: int, donor: WideFrames | None = None
) -> Blend:
    """The twin that `blend` draws, cut to the model's crop, a little beside its place.

    Returns:
        H = W = size; the masks in steps of 1/255.
    """
    random = np.random.default_rng([*np.ravel(seed), 3])
    wide, count = clip.frames.shape[1], len(clip.frames)
    side = wide / WIDER
    place = SHIFT * side * random.uniform(-1, 1, 2)
    tremble = TREMBLE * side * fluctuation(random, clip.times_ms, 120.0, 2) * random.random()
    side *= float(np.exp(random.uniform(-ZOOM, ZOOM)))
    corners = np.clip(wide / 2 + place + tremble - side / 2, 0, wide - side)
    twin = blend(clip, seed, fake, donor)
    boxes = [(*corner, side, side) for corner in corners]
    frames = [square_crop(f, box, 1.0, size) for f, box in zip(twin.frames, boxes, strict=True)]
    masks = np.zeros((count, size, size), np.float32)
    if fake:
        grey = np.repeat(np.rint(255 * twin.masks).astype(np.uint8)[..., None], 3, axis=-1)
        cut = [square_crop(g, box, 1.0, size)[..., 0] for g, box in zip(grey, boxes, strict=True)]
        masks = np.stack(cut).astype(np.float32) / 255
    return Blend(np.stack(frames), masks)


def blend(clip: WideFrames, seed: Any, fake: bool, donor: WideFrames | None = None) -> Blend:
    """Draw a twin pair from a real clip and return one of the two.

    Args:
        clip: A real clip.
        seed: For `numpy.random.default_rng`; equal seeds give twins.
        fake: Which twin.
        donor: Another person's clip, whose face the fake gets in place of the clip's own.
    """
    swap, target, shared = (np.random.default_rng([*np.ravel(seed), k]) for k in range(3))
    frames = list(clip.frames[_doubled(shared, len(clip.frames))].astype(np.float32))
    change = draw_appearance(target, clip.times_ms, _strength(target), _strength(target))
    texture = draw_texture(target)
    of_target = bool(target.random() < 0.5)
    source, base, opacity = frames, frames, float(swap.choice(OPACITIES))
    if fake and donor is not None:
        source, opacity = laid_over(donor, clip, swap), 1.0  # two people would shine through
    if of_target:
        base = [texture.apply(change.apply(f, i), i) for i, f in enumerate(base)]
    elif fake:
        source = [texture.apply(change.apply(f, i), i) for i, f in enumerate(source)]
    masks = [np.zeros(f.shape[:2], np.float32) for f in frames]
    if fake:
        base, masks = _blended(swap, clip, source, base, opacity)
    return _disturbed(shared, clip, base, masks)


def _strength(random: np.random.Generator) -> float:
    """Mostly weak, at times strong, in a fifth of the draws nothing."""
    return 0.0 if random.random() < 0.2 else float(random.uniform(0.15, 1.2) ** 1.5)


def _blended(
    random: np.random.Generator,
    clip: WideFrames,
    source: list[np.ndarray],
    target: list[np.ndarray],
    opacity: float,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    views, count = clip.cameras(), len(source)
    unit = float(np.mean([np.linalg.norm(view[:, 0]) for view in views]))  # between the eyes
    region = str(random.choice(list(REGIONS), p=list(REGIONS.values())))
    line = outline(region, random, random.uniform(0.0, 0.08))
    restless = _strength(random)
    grow = random.uniform(0.85, 1.12) * (
        1 + 0.02 * restless * fluctuation(random, clip.times_ms, memory_ms(random))
    )
    blur = unit * random.uniform(0.02, 0.22)
    flicker = np.abs(fluctuation(random, clip.times_ms, memory_ms(random)))
    opacities = opacity * (1 - 0.12 * restless * flicker[:, 0])
    if random.random() < 0.1 and count > 2:  # the swapper misses a frame
        opacities[random.integers(count)] = 0
    warps = _warps(random, clip, unit, 0.03 * _strength(random), 0.012 * _strength(random))
    jitter = 0.015 * restless * fluctuation(random, clip.times_ms, memory_ms(random), 2)
    result, masks = [], []
    for i in range(count):
        view = views[i].copy()
        view[:, 3] += unit * jitter[i]
        mask = soft_mask(line, view, source[i].shape[:2], float(grow[i, 0]), blur)
        masks.append((mask * opacities[i]).astype(np.float32))
        share = masks[i][..., None]
        result.append(share * _warped(source[i], warps[i]) + (1 - share) * target[i])
    return result, masks


def _warps(
    random: np.random.Generator, clip: WideFrames, unit: float, steady: float, restless: float
) -> list[np.ndarray]:
    """Displacements of a grid of control points, (T) × (GRID, GRID, 2) float32, in pixels.

    An affine part for the whole face and a bent one for its features.
    """
    count = 2 * (GRID * GRID + 2)
    values = steady * random.standard_normal(count)
    moving = fluctuation(random, clip.times_ms, memory_ms(random), count)
    rows = unit * (values + restless * moving)
    place = np.linspace(-1, 1, GRID)
    grid = np.stack(np.meshgrid(place, place), -1)
    bent = rows[:, 4:].reshape(-1, GRID, GRID, 2)
    scale = rows[:, None, None, 2:4] * grid * 1.5
    return list((0.7 * bent + rows[:, None, None, 0:2] + scale).astype(np.float32))


def _warped(frame: np.ndarray, grid: np.ndarray) -> np.ndarray:
    import cv2

    if not np.abs(grid).max() > 0.05:
        return frame
    height, width = frame.shape[:2]
    field = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved: np.ndarray = cv2.remap(
        frame, x + field[..., 0], y + field[..., 1], cv2.INTER_LINEAR, None, cv2.BORDER_REFLECT
    )
    return moved


def _doubled(random: np.random.Generator, count: int) -> np.ndarray:
    """Numbers of the frames, in a tenth of the draws with some repeated."""
    order = np.arange(count)
    if random.random() < 0.1:
        again = np.flatnonzero(random.random(count) < random.uniform(0.1, 0.5))
        order[again] = np.maximum(again - 1, 0)
    return order


def _disturbed(
    random: np.random.Generator,
    clip: WideFrames,
    frames: list[np.ndarray],
    masks: list[np.ndarray],
) -> Blend:
    """What happens to whole pictures: camera, sensor, transport. The same for both twins."""
    changed: Appearance | None = None
    if random.random() < 0.6:
        changed = draw_appearance(
            random, clip.times_ms, 0.5 * _strength(random), 0.7 * _strength(random)
        )
    resolution = 1.0 if random.random() < 0.5 else float(random.uniform(0.3, 0.95))
    noise = 0.0 if random.random() < 0.6 else random.uniform(0.5, 5.0)
    unit = clip.frames.shape[1] / clip.margin / 2.45
    bent = random.random() < 0.2
    warps = _warps(random, clip, unit, 0.02 * _strength(random), 0.012 * _strength(random))
    if bent:
        frames, masks = (
            [_warped(p, w) for p, w in zip(part, warps, strict=True)] for part in (frames, masks)
        )
    result = []
    for i, frame in enumerate(frames):
        frame = changed.apply(frame, i) if changed else frame
        frame = at_resolution(frame, resolution)
        if noise:
            frame = frame + random.standard_normal(frame.shape, np.float32) * noise
        result.append(frame)
    pixels = _compressed(random, np.clip(np.rint(result), 0, 255).astype(np.uint8))
    return Blend(pixels, np.stack(masks))


def _compressed(random: np.random.Generator, frames: np.ndarray) -> np.ndarray:
    """As H.264 in half of the draws, as JPEG pictures in an eighth."""
    from keras_ddl.data.augment import recompress

    kind, quality = random.random(), random.random()
    if kind < 0.5:
        return recompress(frames, round(16 + 22 * quality))
    if kind < 0.625:
        return np.stack([as_jpeg(frame, round(40 + 55 * quality)) for frame in frames])
    return frames
