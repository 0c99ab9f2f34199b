"""Donors: another person's face comes to lie on the clip's own, in its colours."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from keras_ddl.data.pseudo_fakes.donor import laid_over
from keras_ddl.data.pseudo_fakes.regions import POINTS
from keras_ddl.data.pseudo_fakes.wide import WideFrames

SIZE, MARGIN = 120, 1.95


def face(
    place: tuple[float, float], unit: float, angle: float, skin: tuple[int, ...]
) -> WideFrames:
    """A flat face: skin with a dark dot at each of the five points."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = unit * POINTS[:, :2] @ turn.T + place
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    picture = np.broadcast_to(np.array(skin, np.float64), (SIZE, SIZE, 3)).copy()
    for px, py in points:
        near = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * (unit / 8) ** 2))
        picture *= (1 - 0.9 * near)[..., None]
    return WideFrames(np.uint8(picture)[None], np.zeros(1), points[None], MARGIN)


def test_the_donor_s_features_come_to_lie_on_the_clip_s() -> None:
    own = face((62, 45), 30, 0.3, (150, 120, 100))
    donor = face((48, 55), 19, -0.2, (90, 90, 120))
    (moved,) = laid_over(donor, own, np.random.default_rng(0))
    for px, py in own.points[0]:
        at = moved[round(py) - 1 : round(py) + 2, round(px) - 1 : round(px) + 2].mean()
        assert at < 60
    assert moved.mean() > 90


def test_the_donor_takes_the_clip_s_colours() -> None:
    own, donor = face((60, 45), 28, 0, (190, 140, 110)), face((60, 45), 28, 0, (70, 90, 120))
    far = np.abs(donor.frames[0].astype(float) - own.frames[0]).mean()
    (moved,) = laid_over(donor, own, np.random.default_rng(1))
    assert np.abs(moved[40:80, 40:80] - own.frames[0, 40:80, 40:80]).mean() < 0.5 * far
