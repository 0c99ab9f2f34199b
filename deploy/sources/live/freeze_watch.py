"""Whether a camera sends the same picture over and over."""

from __future__ import annotations

import numpy as np

FROZEN_S = 3.0
GRID = 60  # samples along the shorter side of a picture
CHANGED = 0.001  # share of samples below which a picture is the one before: a clock drawn into it


class FreezeWatch:
    """Compares a grid of pixels with those of the picture that the present stillness began with.

    Sensor noise is never exactly zero, so a camera that looks at a wall is not frozen. Comparing
    with the beginning of a stillness, not with the last frame, keeps slow changes visible.

    Args:
        after_s: So long the same picture is frozen, in seconds; 0 = never.
    """

    def __init__(self, after_s: float = FROZEN_S) -> None:
        if after_s < 0.0:
            raise ValueError(f"after_s: expected 0 or more, received {after_s}")
        self._after_s = after_s
        self._sample: np.ndarray | None = None
        self._since_s = 0.0

    def push(self, image: np.ndarray, now_s: float) -> bool:
        """Take the next picture, uint8 (H, W, 3); returns whether it is frozen."""
        if not self._after_s:
            return False
        step = max(1, min(image.shape[:2]) // GRID)
        sample = image[step // 2 :: step, step // 2 :: step]
        if self._sample is None or not _same(self._sample, sample):
            self._sample = sample.copy()
            self._since_s = now_s
        return now_s - self._since_s >= self._after_s


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and int(np.count_nonzero(a != b)) <= CHANGED * a.size
