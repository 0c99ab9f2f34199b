"""Self-blended fakes from real clips alone, for those who have only real footage.

Source and target are the same frame: a copy is changed in colour, sharpness and place and blended
back over the inner face, so that the only trace is the one every face swap leaves, a boundary
between two statistics. In the temporal mode the changes fluctuate from frame to frame, as a
generator that works frame by frame does; that is the trace DFDC looks for.

The mask needs no landmarks: the crop rule of `ClipSpec` put the face in the middle.
The idea of self-blending: Shiohara and Yamasaki, CVPR 2022; the temporal mode is this project's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ddl.data.augment_rules import SelfBlend
from keras_ddl.data.prepared import PreparedSplit, StoredClips

METHOD = "pseudo"


def blend_with_itself(clip: np.ndarray, seed: Any, rules: SelfBlend | None = None) -> np.ndarray:
    """Return a fake made of a real clip.

    Args:
        clip: uint8, (T, S, S, 3), RGB.
        seed: For `numpy.random.default_rng`; equal seeds give equal fakes.
        rules: How; default: the temporal mode.

    Returns:
        uint8, (T, S, S, 3); outside the face the clip's own pixels.
    """
    rules = rules or SelfBlend()
    random = np.random.default_rng(seed)
    mask = _mask(random, clip.shape[1], rules.margin)[..., None]
    steady = random.uniform(-1, 1, 9)
    frames = []
    for frame in clip:
        draw = random.uniform(-1, 1, 9) if rules.temporal else steady
        # Half of it is the swap itself, which stays; half is the generator's restlessness.
        draw = 0.5 * (steady + draw) if rules.temporal else draw
        copy = _changed(frame.astype(np.float32), draw, rules)
        strength = mask * (1 - 0.15 * abs(draw[8]))
        frames.append(strength * copy + (1 - strength) * frame)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def with_pseudo_fakes(data: PreparedSplit) -> PreparedSplit:
    """The rows of a split's reals, each followed by the row of its pseudo-fake.

    Fakes of the split are left out. The pixels of fakes are made when they are read:
    `clip_dataset(pseudo=…)`.

    Args:
        data: A split of a prepared folder.
    """
    rows, keys = [], []
    for key, row in zip(data.keys, data.rows, strict=True):
        if row["label"] == 0:
            fake = (key[0], METHOD, *key[2:])
            keys += [key, fake]
            rows += [row, {**row, "key": list(fake), "label": 1}]
    videos = [video for video in data.videos if video["label"] == 0]
    fakes = [{**v, "key": [v["key"][0], METHOD, *v["key"][2:]], "label": 1} for v in videos]
    labels = np.array([row["label"] for row in rows], np.int32)
    clips = StoredClips(data.clips.folder, tuple(rows), data.clips.shape[1:])
    return PreparedSplit(clips, labels, tuple(keys), tuple(rows), (*videos, *fakes))


def _mask(random: np.random.Generator, side: int, margin: float) -> np.ndarray:
    """A soft, slightly irregular oval over the inner face: float32, (S, S), in [0, 1]."""
    import cv2

    y, x = (np.mgrid[0:side, 0:side] + 0.5) / side - 0.5
    dx, dy = random.uniform(-0.04, 0.04, 2)
    half = random.uniform(0.30, 0.40, 2) / margin * np.array([0.95, 1.15])
    angle = np.arctan2(y - dy, x - dx)
    waves = sum(
        random.uniform(-0.04, 0.04) * np.cos(k * angle + random.uniform(0, 2 * np.pi))
        for k in (2, 3, 4, 5)
    )
    inside = np.hypot((x - dx) / half[0], (y - dy) / half[1]) < 1 + waves
    blur = side * random.uniform(0.01, 0.05)
    soft: np.ndarray = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), blur)
    return soft


def _changed(frame: np.ndarray, draw: np.ndarray, rules: SelfBlend) -> np.ndarray:
    """The copy that is blended in: other colour, other sharpness, a little elsewhere."""
    import cv2

    copy = frame * (1 + rules.gain * draw[0:3]) + rules.colour * draw[3]
    sigma = max(0.05, rules.sharpness * abs(draw[4]))
    smooth = cv2.GaussianBlur(copy, (0, 0), sigma)
    copy = smooth if draw[4] > 0 else 2 * copy - smooth
    side = frame.shape[0]
    scale = 1 + rules.move * draw[5]
    dx, dy = rules.move * side * draw[6:8]
    middle = side / 2 * (1 - scale)
    matrix = np.array([[scale, 0, middle + dx], [0, scale, middle + dy]])
    moved: np.ndarray = cv2.warpAffine(copy, matrix, (side, side), borderMode=cv2.BORDER_REFLECT)
    return moved
