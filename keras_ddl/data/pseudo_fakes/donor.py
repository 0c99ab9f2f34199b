"""Donors: another person's face, laid over a clip's own and given its colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ddl.data.prepared import PreparedSplit
from keras_ddl.data.pseudo_fakes.regions import OUTLINES, camera, outline, soft_mask
from keras_ddl.data.pseudo_fakes.wide import WideClips, WideFrames

SHARE = 0.35  # of the fakes
CANDIDATES = 4  # of which the one who looks in the most similar direction is taken
_FACE = np.column_stack([OUTLINES["face"], np.ones(len(OUTLINES["face"]))])


class Donors:
    """Choice of another person's clip for a fake.

    Args:
        wide: The clips of a split.
        data: Their rows, reals and others.
    """

    def __init__(self, wide: WideClips, data: PreparedSplit) -> None:
        self._wide = wide
        people = {tuple(row["key"]): tuple(row.get("identities", ())) for row in data.videos}
        self._reals = [number for number, row in enumerate(data.rows) if row["label"] == 0]
        keys = [tuple(row["key"]) for row in data.rows]
        self._people = [set(people.get(key, ())) or {key} for key in keys]

    def draw(self, number: int, seed: Any, frame: int | None = None) -> WideFrames | None:
        """Draw a donor for a clip; None in most draws, and where there is nobody else.

        `frame` as for `WideClips.read`.
        """
        random = np.random.default_rng([*np.ravel(seed), 4])
        if random.random() >= SHARE:
            return None
        drawn = random.choice(self._reals, CANDIDATES)
        others = [int(n) for n in drawn if not self._people[n] & self._people[number]]
        if not others:
            return None
        own = _direction(self._wide.points(number))
        apart = [np.abs(_direction(self._wide.points(other)) - own).sum() for other in others]
        return self._wide.read(others[int(np.argmin(apart))], frame)


def _direction(points: np.ndarray) -> np.ndarray:
    """Where a face looks: how its depth is seen, (2,), in distances between the eyes."""
    known = points[np.isfinite(points).all((1, 2))]
    if not len(known):
        return np.zeros(2)
    view = camera(known[0])
    seen: np.ndarray = view[:, 2] / np.linalg.norm(view[:, 0])
    return seen


def laid_over(donor: WideFrames, clip: WideFrames, random: np.random.Generator) -> list[np.ndarray]:
    """The donor's frames, moved so that its face covers the clip's.

    Args:
        donor: A clip of at least as many frames.
        clip: The clip to be covered.
        random: Draws how far colours are matched.

    Returns:
        Per frame of the clip float32, (W, W, 3), 0 to 255.
    """
    import cv2

    match = float(random.uniform(0.6, 1.0))
    result = []
    cameras = zip(donor.cameras(), clip.cameras(), strict=False)
    for i, (theirs, ours) in enumerate(cameras):
        moved = cv2.warpAffine(
            donor.frames[i].astype(np.float32),
            _affine(theirs, ours),
            clip.frames.shape[2:0:-1],
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT,
        )
        target = clip.frames[i].astype(np.float32)
        face = soft_mask(outline("face", random, 0.0), ours, target.shape[:2], 0.85, 1.0) > 0.5
        result.append(_recoloured(moved, target, face, match))
    return result


def _affine(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """The affine map, (2, 3), under which one face's outline lies nearest to the other's."""
    source, target = _FACE @ theirs.T, _FACE @ ours.T
    known = np.column_stack([source, np.ones(len(source))])
    solved: np.ndarray = np.linalg.lstsq(known, target, rcond=None)[0].T
    return solved


def _recoloured(
    picture: np.ndarray, target: np.ndarray, where: np.ndarray, match: float
) -> np.ndarray:
    """Mean and spread of each channel, inside a region, moved towards the target's."""
    if not where.any():
        return picture
    mean, spread = picture[where].mean(0), picture[where].std(0) + 1.0
    wanted, wide = target[where].mean(0), target[where].std(0) + 1.0
    matched = (picture - mean) * (wide / spread) + wanted
    return np.asarray(match * matched + (1 - match) * picture, np.float32)
