"""Face regions: an outline follows a face that turns, tilts and comes near."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from keras_ddl.data.pseudo_fakes.regions import (
    OUTLINES,
    POINTS,
    camera,
    frontal_points,
    outline,
    soft_mask,
)


def turned(yaw: float, roll: float = 0.0, scale: float = 30.0) -> np.ndarray:
    """A camera that sees the template turned by these angles, in radians."""
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return np.column_stack([scale * about_z @ about_y[:2], (80.0, 70.0)])


@pytest.mark.parametrize("yaw", [-0.6, 0.0, 0.4])
@pytest.mark.parametrize("roll", [-0.5, 0.0, 1.0])
def test_the_camera_is_found_again(yaw: float, roll: float) -> None:
    view = turned(yaw, roll)
    points = np.column_stack([POINTS, np.ones(5)]) @ view.T
    found = camera(points)
    np.testing.assert_allclose(found[:, :2], view[:, :2], atol=4.5)  # of 30; depth is damped
    chin = np.array([0, 1.85, 0.1, 1])
    np.testing.assert_allclose(found @ chin, view @ chin, atol=6)


def test_points_of_a_frontal_face_give_a_frontal_camera() -> None:
    view = camera(frontal_points(200, 1.3))
    unit = 200 / 1.3 / 2.45
    np.testing.assert_allclose(view[:, :2], unit * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(view[:, 2], 0, atol=1e-9)


@pytest.mark.parametrize("region", OUTLINES)
def test_outlines_are_closed_smooth_and_symmetric(region: str) -> None:
    line = outline(region, np.random.default_rng(0), wobble=0.0)
    steps = np.linalg.norm(np.diff([*line, line[0]], axis=0), axis=1)
    assert steps.max() < 2 * np.median(steps)
    assert abs(line[:, 0].mean()) < 0.03
    wobbly = outline(region, np.random.default_rng(0), wobble=0.05)
    assert 0 < np.abs(wobbly - line).max() < 0.5


@pytest.mark.parametrize("region", OUTLINES)
def test_a_mask_covers_its_region_softly(region: str) -> None:
    random = np.random.default_rng(0)
    view = camera(frontal_points(200, 1.95))
    line = outline(region, random, 0.0)
    mask = soft_mask(line, view, (200, 200), 1.0, 2.0)
    middle = (line.mean(0) @ view[:, :3].T + view[:, 3]).astype(int)
    assert mask.dtype == np.float32 and mask[middle[1], middle[0]] == 1.0
    assert mask[0].max() == mask[-1].max() == 0.0
    assert 0.0 < mask[(mask > 0) & (mask < 1)].size < mask.size / 5
    assert soft_mask(line, view, (200, 200), 0.8, 2.0).sum() < 0.75 * mask.sum()


def test_regions_lie_in_one_another() -> None:
    view = camera(frontal_points(200, 1.95))
    areas = {
        name: soft_mask(outline(name, np.random.default_rng(0), 0.0), view, (200, 200), 1.0, 1.0)
        for name in OUTLINES
    }
    head, face = areas["head"] > 0.5, areas["face"] > 0.5
    assert (face & ~head).sum() < 0.01 * face.sum() and head.sum() > face.sum()
    for part in ("mouth", "eyes", "middle"):
        inside = areas[part] > 0.5
        assert (inside & ~face).sum() < 0.03 * inside.sum(), part
    assert not (areas["mouth"] * areas["eyes"] > 0.2).any()
