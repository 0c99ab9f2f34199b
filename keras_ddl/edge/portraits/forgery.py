"""Marks of a face swap, and the same marks, at rest, for real faces.

Both classes carry, inside the face, a texture field, a perturbed blend boundary and a colour
offset, drawn from one distribution. On a real face they are the person's skin and make-up: drawn
once, they move with the head. On a fake they are redrawn in part for every frame,

    value_t = sqrt(1 - share) * static + sqrt(share) * fresh_t,

which keeps mean and variance of every frame's values, whatever the share: one frame tells nothing
that the sequence does not tell better.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from keras_ddl.edge.portraits.canvas import Grid, enlarge, smoothstep

LEAST_FRESH = 0.1  # amplitude of the fresh part at difficulty 1
_HARMONICS = np.arange(2, 7)
_OCTAVES = ((0.09, 1), (0.28, 2))  # cell in face units, tones
_TONES = np.array([(0.8, 0.8, 0.8), (0.55, -0.25, -0.60)], np.float32)  # brighter, warmer
_CENTER_Y = 0.28
_RADII = (0.80, 1.02)


@dataclass(frozen=True)
class Marks:
    """Strength of the marks in one performance; drawn alike for both classes.

    `texture` and `color` are relative to the face's brightness, `boundary` and `softness` to its
    radius; `memory` is the correlation of the fresh part from one frame to the next.
    """

    texture: float
    color: float
    boundary: float
    softness: float
    memory: float


def draw_marks(rng: np.random.Generator) -> Marks:
    """Draw the strength of one performance's marks."""
    return Marks(
        texture=rng.uniform(0.035, 0.065),
        color=rng.uniform(0.04, 0.075),
        boundary=rng.uniform(0.05, 0.10),
        softness=rng.uniform(0.12, 0.35),
        memory=rng.uniform(0.0, 0.4),
    )


def share_of(difficulty: float) -> float:
    """Share of the variance that is redrawn per frame.

    The amplitude of the fresh part falls linearly: all at difficulty 0, a tenth at 1.
    """
    return float((1.0 - (1.0 - LEAST_FRESH) * difficulty) ** 2)


def _blend_coordinates(grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in which the unperturbed blend boundary is the unit circle."""
    return grid.x / _RADII[0], (grid.y - _CENTER_Y) / _RADII[1]


def blend_radius(grid: Grid) -> np.ndarray:
    """Distance (h, w) from the middle of the face; 1 on the unperturbed blend boundary."""
    return np.hypot(*_blend_coordinates(grid)).astype(np.float32)


class Flicker:
    """Standard normal values, of which a share of the variance is fresh in every frame."""

    def __init__(
        self,
        shape: tuple[int, ...],
        still: np.random.Generator,
        fresh: np.random.Generator,
        share: float,
        memory: float,
    ) -> None:
        self._still = still.standard_normal(shape, dtype=np.float32)
        self._rng = fresh
        self._share = share
        self._memory = memory
        self._fresh: np.ndarray | None = None

    def next(self) -> np.ndarray:
        """The next frame's values; always the same array when the share is 0."""
        if self._share == 0.0:
            return self._still
        drawn = self._rng.standard_normal(self._still.shape, dtype=np.float32)
        if self._fresh is None:
            self._fresh = drawn
        else:
            keep = np.float32(self._memory)
            self._fresh = keep * self._fresh + np.sqrt(1 - keep**2) * drawn
        share = np.float32(self._share)
        return np.sqrt(1 - share) * self._still + np.sqrt(share) * self._fresh


class Forgery:
    """Marks of one video, laid over its lit face frame after frame."""

    def __init__(
        self, grid: Grid, marks: Marks, share: float, still_seed: list[int], seed: list[int]
    ) -> None:
        """Prepare the marks.

        Args:
            grid: Raster of the face.
            marks: Their strength.
            share: Share of the variance redrawn per frame; 0 for a real face.
            still_seed: Seed of the static part, shared by a real video and its fake twin.
            seed: Seed of the fresh part.
        """
        still, fresh = np.random.default_rng(still_seed), np.random.default_rng(seed)
        self._marks = marks
        self._shape = grid.x.shape
        span = (np.ptp(grid.y), np.ptp(grid.x))

        def flicker(*shape: int) -> Flicker:
            return Flicker(shape, still, fresh, share, marks.memory)

        self._octaves = [
            flicker(int(span[0] / cell) + 2, int(span[1] / cell) + 2, tones)
            for cell, tones in _OCTAVES
        ]
        self._boundary = flicker(2 * len(_HARMONICS))
        self._color = flicker(len(_TONES))
        x, y = _blend_coordinates(grid)
        angle = np.arctan2(y, x)[..., None] * _HARMONICS
        basis = np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)
        weight = np.concatenate([_HARMONICS, _HARMONICS]) ** -1.5
        weight *= np.sqrt(2.0 / np.sum(weight**2))
        self._basis = (basis * weight).reshape(-1, basis.shape[-1]).astype(np.float32)
        self._radius = blend_radius(grid)

    def apply(self, face: np.ndarray) -> None:
        """Multiply the marks into the lit face (h, w, 3) in place."""
        marks = self._marks
        edge = 1.0 + marks.boundary * (self._basis @ self._boundary.next()).reshape(self._shape)
        mask = smoothstep(self._radius - edge, marks.softness / 2, -marks.softness / 2)
        fine = enlarge(self._octaves[0].next(), self._shape)
        wide = enlarge(self._octaves[1].next(), self._shape)
        wide = cv2.transform(np.float32(marks.texture) * wide, _TONES.T)
        wide += (marks.texture * fine)[..., None]
        wide += np.float32(marks.color) * (self._color.next() @ _TONES)
        wide *= mask[..., None]
        wide += 1.0
        cv2.multiply(face, wide, dst=face)
