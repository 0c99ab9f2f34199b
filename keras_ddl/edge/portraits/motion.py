"""Motion of head, face, light and hand-held camera: smooth curves drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Motion:
    """Curves of one performance, one value per frame, float32.

    Translations (`x`, `y`, `shake_x`, `shake_y`) in face units, `roll` in radians, `zoom` a factor,
    `yaw` and `pitch` as the shift of the nose in face units, `mouth`, `eyes` in [0, 1], `smile` and
    `brows` in [-1, 1], `gaze_x`, `gaze_y` in eye widths, light angles in radians, `gain` a factor.
    """

    x: np.ndarray
    y: np.ndarray
    roll: np.ndarray
    zoom: np.ndarray
    yaw: np.ndarray
    pitch: np.ndarray
    shake_x: np.ndarray
    shake_y: np.ndarray
    mouth: np.ndarray
    smile: np.ndarray
    brows: np.ndarray
    eyes: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray
    light_azimuth: np.ndarray
    light_elevation: np.ndarray
    gain: np.ndarray


def _wander(
    rng: np.random.Generator, time: np.ndarray, low_hz: float, high_hz: float, waves: int = 4
) -> np.ndarray:
    """A smooth curve of about unit variance: sines with random frequency and phase."""
    hertz = rng.uniform(low_hz, high_hz, (waves, 1))
    phase = rng.uniform(0.0, 2 * np.pi, (waves, 1))
    return np.sin(2 * np.pi * hertz * time + phase).sum(axis=0) * np.sqrt(2.0 / waves)


def _blinks(rng: np.random.Generator, time: np.ndarray) -> np.ndarray:
    """Opening factor of the lids: 1, with a dip of about 0.2 s every few seconds."""
    opening = np.ones_like(time)
    moment = rng.uniform(0.0, 2.0)
    while moment < time[-1] + 0.3:
        width = rng.uniform(0.16, 0.26)
        near = np.clip(1.0 - ((time - moment) / (width / 2)) ** 2, 0.0, 1.0)
        opening *= 1.0 - near
        moment += rng.uniform(0.8, 3.5)
    return opening


def draw_motion(rng: np.random.Generator, frames: int, fps: float, vigour: float) -> Motion:
    """Draw one performance; `vigour` scales head and mouth (1 is lively conversation)."""
    time = np.arange(frames, dtype=np.float64) / fps
    step = 1.0 / fps
    talk = rng.uniform(0.0, 1.0) * np.clip(0.6 + 0.6 * _wander(rng, time, 0.2, 0.7), 0, 1)
    syllables = 0.5 + 0.5 * _wander(rng, time, 2.0, 4.5, 3)
    shake = rng.uniform(0.002, 0.008) * np.sqrt(25.0 * step)
    curves = {
        "x": 0.10 * vigour * _wander(rng, time, 0.2, 1.2),
        "y": 0.06 * vigour * _wander(rng, time, 0.2, 1.4),
        "roll": 0.05 * vigour * _wander(rng, time, 0.2, 1.0),
        "zoom": 1.0 + 0.025 * vigour * _wander(rng, time, 0.1, 0.6),
        "yaw": 0.06 * vigour * _wander(rng, time, 0.2, 1.0),
        "pitch": 0.045 * vigour * _wander(rng, time, 0.2, 1.3),
        "shake_x": shake * rng.standard_normal(frames) + 0.01 * _wander(rng, time, 0.5, 3.0),
        "shake_y": shake * rng.standard_normal(frames) + 0.01 * _wander(rng, time, 0.5, 3.0),
        "mouth": np.clip(vigour * talk * syllables, 0.0, 1.0),
        "smile": np.clip(0.25 + 0.4 * _wander(rng, time, 0.1, 0.8), -0.5, 1.0),
        "brows": np.clip(0.45 * vigour * _wander(rng, time, 0.2, 1.2), -1.0, 1.0),
        "eyes": _blinks(rng, time) * np.clip(0.85 + 0.1 * _wander(rng, time, 0.2, 1.0), 0.5, 1.0),
        "gaze_x": np.clip(0.14 * np.round(_wander(rng, time, 0.2, 0.7)), -0.3, 0.3),
        "gaze_y": 0.04 * _wander(rng, time, 0.2, 0.7),
        "light_azimuth": 0.14 * _wander(rng, time, 0.1, 0.6),
        "light_elevation": 0.08 * _wander(rng, time, 0.1, 0.6),
        "gain": 1.0
        + 0.04 * _wander(rng, time, 0.1, 0.8)
        + rng.uniform(0.0, 0.006) * rng.standard_normal(frames),
    }
    return Motion(**{name: curve.astype(np.float32) for name, curve in curves.items()})
