"""Appearance of pictures over time: colour, light and sharpness, steady and restless."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_ddl.data.pseudo_fakes.fluctuation import fluctuation, memory_ms

LUMA = np.array([0.299, 0.587, 0.114])
# At strength 1, standard deviations: of the steady part, and of what changes from frame to frame.
GAIN, LIGHT, CONTRAST, SATURATION, HUE, SHARPNESS = 0.08, 12.0, 0.1, 0.15, 0.06, 0.9
RESTLESS = 0.35  # share of them that may change over time
COLUMNS = 8  # three gains, light, contrast, saturation, hue, sharpness


@dataclass(frozen=True)
class Appearance:
    """How the frames of a clip are changed.

    Args:
        matrices: float64, (T, 3, 4): RGB → RGB, around grey levels of 0 to 255.
        sharpness: float64, (T,): σ of a blur in pixels; below 0 as much sharpening.
    """

    matrices: np.ndarray
    sharpness: np.ndarray

    def apply(self, frame: np.ndarray, number: int) -> np.ndarray:
        """Change one frame: (H, W, 3) float32, 0 to 255, RGB → the same, not clipped."""
        import cv2

        changed: np.ndarray = cv2.transform(frame, self.matrices[number])
        sigma = float(self.sharpness[number])
        if abs(sigma) > 0.15:
            smooth = cv2.GaussianBlur(changed, (0, 0), abs(sigma))
            changed = smooth if sigma > 0 else 2 * changed - smooth
        return changed


def draw_appearance(
    random: np.random.Generator,
    times_ms: np.ndarray,
    steady: float,
    restless: float,
) -> Appearance:
    """Draw a change of appearance.

    Args:
        random: Source of chance.
        times_ms: (T,), of the frames.
        steady: Strength of what stays, 0 to about 1.
        restless: Strength of what changes over time, likewise.
    """
    chosen = random.random(COLUMNS) < 0.6  # so that each kind also comes alone
    values = steady * random.standard_normal(COLUMNS) * chosen
    moving = fluctuation(random, times_ms, memory_ms(random), COLUMNS) * RESTLESS
    rows = values + restless * moving * (random.random(COLUMNS) < 0.6)
    matrices = np.array([_matrix(row) for row in np.clip(rows, -2.5, 2.5)])
    return Appearance(matrices, np.clip(SHARPNESS * rows[:, 7], -1.0, 2.0))


def _matrix(row: np.ndarray) -> np.ndarray:
    """(3, 4): saturation and hue, then contrast around middle grey, gains and light."""
    grey = np.outer(np.ones(3), LUMA)
    saturated = grey + (np.eye(3) - grey) * max(0.0, 1 + SATURATION * row[5])
    turned = saturated @ _hue(HUE * row[6])
    contrast, gains = 1 + CONTRAST * row[4], 1 + GAIN * row[0:3]
    colour = contrast * gains[:, None] * turned
    offset = 128 * (1 - contrast) * gains + LIGHT * row[3]
    return np.column_stack([colour, offset])


def _hue(angle: float) -> np.ndarray:
    """Rotation around the grey axis, by radians (Rodrigues' formula)."""
    axis = np.full(3, 1 / np.sqrt(3))
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    rotation: np.ndarray = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return rotation
