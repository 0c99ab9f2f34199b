"""Texture: each change does what it says, and nothing happens where nothing is asked for."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from keras_ddl.data.pseudo_fakes.texture import ENLARGED, REDUCED, Texture, as_jpeg, draw_texture


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """An edge between two flat fields, with noise of σ 4 over both."""
    random = np.random.default_rng(0)
    picture = np.full((64, 64, 3), 80, np.float32)
    picture[:, 32:] = 180
    return picture + random.normal(0, 4, picture.shape).astype(np.float32)


def roughness(picture: np.ndarray) -> float:
    return float(picture[8:56, 4:26].std((0, 1)).mean())


def test_nothing_asked_nothing_changed(frame: np.ndarray) -> None:
    np.testing.assert_array_equal(Texture().apply(frame, 0), frame)


def test_smoothing_takes_the_grain_and_leaves_the_edge(frame: np.ndarray) -> None:
    smooth = Texture(smoothing=25).apply(frame, 0)
    assert roughness(smooth) < 0.6 * roughness(frame)
    assert smooth[:, 33:36].mean() - smooth[:, 28:31].mean() > 90


def test_resolution_takes_grain_and_edge(frame: np.ndarray) -> None:
    coarse = Texture(resolution=0.25).apply(frame, 0)
    assert roughness(coarse) < 0.6 * roughness(frame)
    assert np.abs(np.diff(coarse.mean((0, 2)))).max() < 60


@pytest.mark.parametrize("down", REDUCED)
@pytest.mark.parametrize("up", ENLARGED)
def test_every_way_through_a_smaller_size_keeps_the_picture(
    frame: np.ndarray, down: str, up: str
) -> None:
    changed = Texture(resolution=0.5, down=down, up=up).apply(frame, 0)
    assert changed.shape == frame.shape and abs(changed.mean() - frame.mean()) < 1.5
    assert 1 < np.abs(changed - frame).mean() < 8


def test_sharpening_steepens_the_edge(frame: np.ndarray) -> None:
    sharp = Texture(sharpening=1.0).apply(frame, 0)
    assert np.ptp(sharp.mean((0, 2))) > np.ptp(frame.mean((0, 2))) + 5


def test_grain_is_another_in_every_frame_and_the_same_again(frame: np.ndarray) -> None:
    grainy = Texture(grain=5, seed=3)
    first = grainy.apply(frame, 0) - frame
    assert 4.5 < first.std() < 5.5
    np.testing.assert_array_equal(first, grainy.apply(frame, 0) - frame)
    assert abs(np.corrcoef(first.ravel(), (grainy.apply(frame, 1) - frame).ravel())[0, 1]) < 0.05


def test_coding_leaves_blocks_and_keeps_channels_in_order(frame: np.ndarray) -> None:
    coloured = frame * np.array([1.0, 0.7, 0.4], np.float32)
    coded = as_jpeg(coloured, 30)
    assert coded.dtype == np.float32
    np.testing.assert_allclose(coded.mean((0, 1)), coloured.mean((0, 1)), atol=3)
    assert roughness(coded) < roughness(coloured)


def test_kinds_come_alone_and_together() -> None:
    random = np.random.default_rng(0)
    drawn = [draw_texture(random) for _ in range(300)]
    counts = np.array(
        [sum((d.smoothing > 0, d.resolution < 1, d.grain > 0, d.quality > 0)) for d in drawn]
    )
    assert (counts == 0).mean() > 0.1 and (counts == 1).mean() > 0.25 and (counts >= 3).any()
