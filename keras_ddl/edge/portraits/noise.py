"""The grain of a camera's sensor."""

from __future__ import annotations

import cv2
import numpy as np

_ROOM = (96, 128)  # by how many pixels the tile exceeds a frame: rows, columns


class SensorNoise:
    """Grain, half of it common to the colours: a tile per video, cut anew for every frame."""

    def __init__(self, seed: list[int], size: tuple[int, int], sigma: float) -> None:
        """Draw the tile.

        Args:
            seed: Seed of tile and cuts.
            size: Width and height of the frame, pixels.
            sigma: Strength before the sensor's slight blur, grey levels.
        """
        self._rng = np.random.default_rng(seed)
        self._size = size
        shape = (size[1] + _ROOM[0], size[0] + _ROOM[1])
        grain = self._rng.standard_normal((*shape, 3), dtype=np.float32)
        common = self._rng.standard_normal((*shape, 1), dtype=np.float32)
        tile = np.float32(0.8) * common + np.float32(0.6) * grain
        self._tile = np.float32(sigma) * cv2.GaussianBlur(tile, (3, 3), 0.45)

    def next(self) -> np.ndarray:
        """Noise for one frame, (H, W, 3) float32 in grey levels."""
        top, left = (int(self._rng.integers(room + 1)) for room in _ROOM)
        return self._tile[top : top + self._size[1], left : left + self._size[0]]
