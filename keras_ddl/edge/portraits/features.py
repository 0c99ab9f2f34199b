"""The parts of a face that are redrawn for every frame: eyes and mouth."""

from __future__ import annotations

import numpy as np

from keras_ddl.edge.portraits.canvas import Grid, over, smoothstep
from keras_ddl.edge.portraits.identity import Identity

_SCLERA = np.array([0.90, 0.88, 0.86], np.float32)
_LASH = np.array([0.10, 0.07, 0.06], np.float32)
_CAVITY = np.array([0.20, 0.07, 0.07], np.float32)
_TEETH = np.array([0.86, 0.82, 0.76], np.float32)


class Eye:
    """One eye, prepared once and drawn into a face at any opening and gaze."""

    def __init__(self, person: Identity, grid: Grid, side: int) -> None:
        half = person.eye_size
        center_x = side * person.eye_spacing
        reach = 1.6 * half
        self.window = grid.window(center_x - reach, center_x + reach, -0.34, 0.26)
        local = grid.crop(*self.window)
        tilt = person.eye_tilt * side
        self._x = (local.x - center_x) / half
        self._y = (local.y + tilt * (local.x - center_x) + 0.02) / half
        self._iris = np.array(person.iris, np.float32)
        self._skin = np.array(person.skin, np.float32)
        self._pixel = 1.0 / (grid.unit * half)
        self._lid = 0.62 * np.clip(1.0 - np.abs(self._x) ** 2.2, 0.0, None)

    def draw(self, face: np.ndarray, opening: float, gaze: tuple[float, float]) -> None:
        """Paint into the lit face (h, w, 3) in place; opening in [0, 1], gaze in eye widths."""
        patch = face[self.window]
        x, y, soft = self._x, self._y, 1.3 * self._pixel
        upper = self._lid * (0.42 - 1.32 * opening)
        lower = self._lid * 0.50
        inside = smoothstep(y - upper, -soft, soft) * smoothstep(lower - y, -soft, soft)
        inside = inside * (np.abs(x) < 1.0)
        ball = _SCLERA * (1.0 - 0.30 * x[..., None] ** 2)
        distance = np.hypot(x - gaze[0], y + 0.08 - gaze[1])
        ring = self._iris * (0.65 + 0.7 * smoothstep(distance, 0.42, 0.15))[..., None]
        ball = over(ring, smoothstep(distance, 0.46 + soft / 2, 0.46 - soft / 2), ball)
        ball = over(_LASH * 0.3, smoothstep(distance, 0.20 + soft / 2, 0.20 - soft / 2), ball)
        glint = smoothstep(np.hypot(x - gaze[0] + 0.14, y + 0.22 - gaze[1]), 0.14, 0.05)
        ball = over(np.float32(0.97), 0.9 * glint, ball)
        shade = 1.0 - 0.45 * smoothstep(y - upper, 0.28, 0.0)
        light = np.clip(patch.mean() / 0.62, 0.45, 1.05)
        patch[:] = over(ball * (shade * light)[..., None], inside, patch)
        ends = smoothstep(np.abs(x), 1.12, 0.85)
        lash = smoothstep(np.abs(y - upper), 0.17, 0.05) * ends
        patch[:] = over(_LASH, 0.85 * lash, patch)
        crease = smoothstep(np.abs(y - upper + 0.30), 0.14, 0.02) * ends * opening
        patch *= 1.0 - 0.22 * crease[..., None]
        rim = smoothstep(np.abs(y - lower), 0.12, 0.02) * ends
        patch *= 1.0 - 0.25 * rim[..., None]


class Mouth:
    """Lips, teeth and the dark between them."""

    def __init__(self, person: Identity, grid: Grid) -> None:
        self.window = grid.window(
            -0.62, 0.62, person.mouth_height - 0.26, person.mouth_height + 0.48
        )
        local = grid.crop(*self.window)
        self._x = local.x
        self._y = local.y - person.mouth_height
        self._half = person.mouth_width
        self._full = person.lip_fullness
        self._lips = np.array(person.lips, np.float32)
        self._soft = 1.2 / grid.unit

    def draw(self, face: np.ndarray, opening: float, smile: float) -> None:
        """Paint into the lit face in place; opening in [0, 1], smile in [-1, 1]."""
        patch = face[self.window]
        soft = self._soft
        x = self._x / (self._half * (1.0 + 0.14 * smile - 0.12 * opening))
        arch = np.clip(1.0 - x**2, 0.0, None)
        y = self._y + 0.07 * smile * (x**2 - 0.4)
        bow = 1.0 - 0.28 * np.exp(-((x / 0.16) ** 2))
        gap = 0.20 * opening * arch
        top_in, bottom_in = -0.30 * gap, 0.70 * gap
        top_out = top_in - self._full * 0.80 * bow * arch**0.7
        bottom_out = bottom_in + self._full * 1.15 * arch**0.6
        lips = smoothstep(y - top_out, -soft, soft) * smoothstep(bottom_out - y, -soft, soft)
        light = np.clip(patch.mean() / 0.55, 0.5, 1.1)
        tone = np.where(y < 0.5 * (top_in + bottom_in), 0.86, 1.02)
        shine = 0.14 * np.exp(-((x / 0.5) ** 2 + ((y - bottom_in - 0.5 * self._full) / 0.035) ** 2))
        color = self._lips * ((tone + shine) * light)[..., None]
        patch[:] = over(color, 0.85 * lips * (arch > 0), patch)
        hole = smoothstep(y - top_in, -soft, soft) * smoothstep(bottom_in - y, -soft, soft)
        hole = hole * smoothstep(gap, 0.0, 0.03)
        depth = smoothstep(y - top_in, 0.085, 0.055) * smoothstep(np.abs(x), 0.85, 0.6)
        inner = over(_TEETH * 0.85 * light, depth, np.broadcast_to(_CAVITY, patch.shape))
        patch[:] = over(inner, hole, patch)
        seam = smoothstep(np.abs(y - 0.5 * (top_in + bottom_in)), 0.030, 0.006)
        seam = seam * smoothstep(np.abs(x), 1.06, 0.9) * (1.0 - np.clip(6 * opening, 0, 1))
        patch *= 1.0 - 0.62 * seam[..., None]
