"""Looks of one synthetic person: a flat record of numbers drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Anchors of a light-to-dark skin ramp and of natural hair and iris colours, RGB in [0, 1].
_SKIN = np.array(
    [
        (0.86, 0.70, 0.61),
        (0.82, 0.64, 0.53),
        (0.74, 0.55, 0.43),
        (0.62, 0.44, 0.33),
        (0.45, 0.31, 0.23),
    ]
)
_HAIR = np.array(
    [
        (0.10, 0.08, 0.07),
        (0.22, 0.14, 0.09),
        (0.38, 0.24, 0.14),
        (0.52, 0.38, 0.24),
        (0.70, 0.57, 0.39),
        (0.42, 0.22, 0.13),
        (0.55, 0.54, 0.53),
    ]
)
_IRIS = np.array(
    [
        (0.20, 0.12, 0.07),
        (0.33, 0.21, 0.11),
        (0.30, 0.42, 0.52),
        (0.31, 0.41, 0.27),
        (0.40, 0.43, 0.45),
    ]
)

Color = tuple[float, float, float]


@dataclass(frozen=True)
class Identity:
    """One person and where they sit.

    Lengths are in units of the half width of an average face, angles in radians, colours RGB in
    [0, 1]. `surface_seed` seeds whatever is too fine to name: freckles, strands, background shapes.
    """

    skin: Color
    hair: Color
    iris: Color
    lips: Color
    shirt: Color
    wall: tuple[Color, Color]
    face_width: float
    face_height: float
    jaw: float
    hair_volume: float
    hair_length: float
    hairline: float
    fringe: float
    beard: float
    brow_weight: float
    brow_tilt: float
    brow_height: float
    eye_spacing: float
    eye_size: float
    eye_tilt: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_fullness: float
    mouth_height: float
    light_azimuth: float
    light_elevation: float
    light_contrast: float
    surface_seed: int


def _ramp(anchors: np.ndarray, position: float) -> np.ndarray:
    """Colour at `position` in [0, 1] along a piecewise linear ramp."""
    steps = np.linspace(0.0, 1.0, len(anchors))
    return np.array([np.interp(position, steps, anchors[:, c]) for c in range(3)])


def _color(value: np.ndarray) -> Color:
    red, green, blue = (float(v) for v in np.clip(value, 0.03, 0.99))
    return red, green, blue


def _any_color(rng: np.random.Generator, low: float, high: float, spread: float) -> np.ndarray:
    return rng.uniform(low, high) + rng.normal(0.0, spread, 3)


def draw_identity(seed: int, number: int) -> Identity:
    """Draw person `number` of the family that `seed` names; the same pair gives the same person."""
    rng = np.random.default_rng([seed, 0, number])
    skin = _ramp(_SKIN, rng.uniform()) * (1 + rng.normal(0, 0.03, 3))
    hair = _HAIR[rng.integers(len(_HAIR))] * rng.uniform(0.75, 1.1) + rng.normal(0, 0.01, 3)
    long_haired = rng.uniform() < 0.45
    bald = rng.uniform() < 0.06
    wall = _any_color(rng, 0.22, 0.72, 0.05)
    return Identity(
        skin=_color(skin),
        hair=_color(hair),
        iris=_color(_IRIS[rng.integers(len(_IRIS))] * rng.uniform(0.8, 1.2)),
        lips=_color(skin * np.array([0.93, 0.62, 0.62]) * rng.uniform(0.85, 1.05)),
        shirt=_color(_any_color(rng, 0.12, 0.6, 0.09)),
        wall=(_color(wall), _color(wall * rng.uniform(0.5, 1.3) + rng.normal(0, 0.03, 3))),
        face_width=rng.uniform(0.90, 1.03),
        face_height=rng.uniform(0.96, 1.08),
        jaw=rng.uniform(0.0, 1.0),
        hair_volume=0.0 if bald else rng.uniform(0.05, 0.28),
        hair_length=rng.uniform(0.9, 1.9) if long_haired else rng.uniform(-0.3, 0.1),
        hairline=-2.5 if bald else rng.uniform(-1.05, -0.82),
        fringe=rng.uniform(-0.25, 0.25),
        beard=0.0 if long_haired or rng.uniform() < 0.55 else rng.uniform(0.15, 0.75),
        brow_weight=rng.uniform(0.045, 0.085),
        brow_tilt=rng.uniform(-0.15, 0.25),
        brow_height=rng.uniform(0.28, 0.37),
        eye_spacing=rng.uniform(0.38, 0.45),
        eye_size=rng.uniform(0.19, 0.23),
        eye_tilt=rng.uniform(-0.10, 0.16),
        nose_width=rng.uniform(0.16, 0.26),
        nose_length=rng.uniform(0.44, 0.56),
        mouth_width=rng.uniform(0.30, 0.42),
        lip_fullness=rng.uniform(0.06, 0.13),
        mouth_height=rng.uniform(0.83, 0.93),
        light_azimuth=rng.uniform(-1.0, 1.0),
        light_elevation=rng.uniform(0.25, 0.95),
        light_contrast=rng.uniform(0.35, 0.75),
        surface_seed=int(rng.integers(2**31)),
    )
