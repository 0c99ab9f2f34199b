"""Drawing primitives: grids in face units, soft edges, smooth noise, sensor noise.

Only modules that draw import this one, and they are imported when drawing begins: cv2 stays out of
`--help`.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_TILE_EXCESS = (96, 128)  # by how many pixels a tile of noise exceeds a frame: rows, columns


@dataclass(frozen=True)
class Grid:
    """A pixel raster laid over face units (x right, y down, origin between the eyes' lower lids).

    `x`, `y`: (H, W) float32 coordinates of the pixel centres; `unit`: pixels per face unit.
    """

    x: np.ndarray
    y: np.ndarray
    unit: float
    left: float
    top: float

    @staticmethod
    def over(left: float, right: float, top: float, bottom: float, unit: float) -> Grid:
        """The raster whose first pixel centre lies at (left, top)."""
        xs = left + np.arange(round((right - left) * unit), dtype=np.float32) / unit
        ys = top + np.arange(round((bottom - top) * unit), dtype=np.float32) / unit
        x, y = np.meshgrid(xs.astype(np.float32), ys.astype(np.float32))
        return Grid(x, y, unit, left, top)

    def window(self, left: float, right: float, top: float, bottom: float) -> tuple[slice, slice]:
        """Row and column slices of the part that covers a rectangle given in face units."""
        height, width = self.x.shape
        cols = np.clip([round((v - self.left) * self.unit) for v in (left, right)], 0, width)
        rows = np.clip([round((v - self.top) * self.unit) for v in (top, bottom)], 0, height)
        return slice(int(rows[0]), int(rows[1])), slice(int(cols[0]), int(cols[1]))

    def crop(self, rows: slice, cols: slice) -> Grid:
        """The sub-raster under two slices."""
        return Grid(
            self.x[rows, cols],
            self.y[rows, cols],
            self.unit,
            self.left + cols.start / self.unit,
            self.top + rows.start / self.unit,
        )


def smoothstep(value: np.ndarray, low: float | np.ndarray, high: float | np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high`, a cubic between; `low` > `high` falls instead of rising."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def bump(grid: Grid, x: float, y: float, width: float, height: float) -> np.ndarray:
    """A Gaussian hill of height 1 at (x, y), standard deviations in face units."""
    return np.exp(-0.5 * (((grid.x - x) / width) ** 2 + ((grid.y - y) / height) ** 2))


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cell: float) -> np.ndarray:
    """Noise of about unit variance that varies over `cell` pixels; (H, W) float32."""
    rows, cols = (max(2, int(np.ceil(side / cell)) + 1) for side in shape)
    return enlarge(rng.standard_normal((rows, cols), dtype=np.float32), shape)


def enlarge(coarse: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Cubic interpolation of a coarse raster to (H, W); linear in its input."""
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def over(top: np.ndarray, alpha: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Lay colour `top` (H, W, 3 or one colour) over `below` with `alpha` (H, W) in [0, 1]."""
    return below + (top - below) * alpha[..., None]


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
        shape = (size[1] + _TILE_EXCESS[0], size[0] + _TILE_EXCESS[1])
        grain = self._rng.standard_normal((*shape, 3), dtype=np.float32)
        common = self._rng.standard_normal((*shape, 1), dtype=np.float32)
        tile = np.float32(0.8) * common + np.float32(0.6) * grain
        self._tile = np.float32(sigma) * cv2.GaussianBlur(tile, (3, 3), 0.45)

    def next(self) -> np.ndarray:
        """Noise for one frame, (H, W, 3) float32 in grey levels."""
        top, left = (int(self._rng.integers(room + 1)) for room in _TILE_EXCESS)
        return self._tile[top : top + self._size[1], left : left + self._size[0]]
