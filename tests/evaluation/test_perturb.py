"""Perturbations against their definitions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")
pytest.importorskip("av")

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame
from keras_ddl.evaluation.perturb import FAMILIES, perturb


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Smooth colours with texture, uint8 (96, 128, 3)."""
    random = np.random.default_rng(0)
    small = random.integers(40, 216, (12, 16, 3), np.uint8)
    return cv2.resize(small, (128, 96), interpolation=cv2.INTER_CUBIC)


def frames(picture: np.ndarray, count: int = 3, period: float = 40.0) -> Iterator[Frame]:
    for i in range(count):
        yield Frame(np.roll(picture, i, 1), i * period, i)


def changed(picture: np.ndarray, family: str, level: int, **how: int) -> np.ndarray:
    return next(iter(perturb(frames(picture), family, level, **how))).image


def grey(image: np.ndarray) -> np.ndarray:
    return image @ np.array([0.299, 0.587, 0.114])


def test_level_five_of_saturation_is_grey_and_keeps_the_light(picture: np.ndarray) -> None:
    image = changed(picture, "saturation", 5)
    assert np.ptp(image.astype(int), axis=2).max() == 0
    assert np.abs(grey(image) - grey(picture)).max() <= 0.51
    spread = np.ptp(changed(picture, "saturation", 1).astype(float), axis=2).mean()
    assert spread / np.ptp(picture.astype(float), axis=2).mean() == pytest.approx(0.4, abs=0.01)


def test_contrast_shrinks_the_distance_from_grey(picture: np.ndarray) -> None:
    for level, kept in enumerate(FAMILIES["contrast"].values, start=1):
        image = changed(picture, "contrast", level).astype(float)
        assert np.abs(image - 127.5 - kept * (picture - 127.5)).max() <= 0.51


def test_gaussian_noise_has_its_variance() -> None:
    flat = np.full((200, 200, 3), 128, np.uint8)
    for level in (1, 2, 3):
        noise = changed(flat, "Gaussian noise", level).astype(float) / 255 - 128 / 255
        assert noise.var() == pytest.approx(FAMILIES["Gaussian noise"].values[level - 1], rel=0.03)


def test_blur_keeps_the_mean_of_a_point() -> None:
    point = np.zeros((65, 65, 3), np.uint8)
    point[32, 32] = 255
    widths = [(changed(point, "Gaussian blur", level) > 0).sum() for level in (1, 3, 5)]
    assert widths == sorted(widths) and widths[0] > 3
    image = changed(point, "Gaussian blur", 1)[..., 0]
    outside = image.copy()
    outside[29:36, 29:36] = 0
    assert outside.max() == 0  # a kernel of 7 reaches 3 pixels


def test_pixelation_leaves_one_colour_a_tile(picture: np.ndarray) -> None:
    image = changed(picture, "pixelation", 3)  # 4 × 4
    tiles = image.reshape(24, 4, 32, 4, 3)
    assert (tiles == tiles[:, :1, :, :1]).all()
    means = picture.reshape(24, 4, 32, 4, 3).mean((1, 3))
    assert np.abs(tiles[:, 0, :, 0] - means).max() <= 0.51


def test_block_noise_counts_go_with_the_area() -> None:
    flat = np.full((256, 256, 3), 300 % 256, np.uint8)
    image = changed(flat, "block noise", 1, seed=3)
    touched = (image != flat).any(2).sum() / 64
    assert 13 <= touched <= 16  # sixteen blocks, some overlap
    small = changed(flat[:128, :128], "block noise", 1)
    assert 1 <= (small != flat[:128, :128]).any(2).sum() / 64 <= 4


def test_stronger_compression_loses_more(picture: np.ndarray) -> None:
    for family in ("JPEG", "H.264"):
        losses = []
        for level in (1, 3, 5):
            out = list(perturb(frames(picture), family, level))
            assert [frame.time_ms for frame in out] == [0, 40, 80]
            difference = out[0].image.astype(int) - picture
            losses.append(np.abs(difference).mean())
        assert 0 < losses[0] < losses[1] < losses[2] < 30


def test_lost_frames_leave_the_times_of_the_others(picture: np.ndarray) -> None:
    out = list(perturb(frames(picture, 500), "lost frames", 4, seed=1))
    assert 370 <= len(out) <= 430  # a fifth is lost
    assert all(frame.time_ms == 40.0 * frame.index for frame in out)


def test_a_low_rate_stored_as_a_higher_repeats_frames(picture: np.ndarray) -> None:
    """25 frames a second shown as 10: a new picture every 100 ms, at the next frame."""
    out = list(perturb(frames(picture, 25), "repeated frames", 4))
    assert [frame.time_ms for frame in out] == [40.0 * i for i in range(25)]
    fresh = [0] + [i for i in range(1, 25) if (out[i].image != out[i - 1].image).any()]
    assert fresh == [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]
    assert (out[3].image == np.roll(picture, 3, 1)).all()


def test_a_lower_rate_has_fewer_frames_at_even_times(picture: np.ndarray) -> None:
    """25 frames a second as 10: every 100 ms the frame nearest to that moment."""
    out = list(perturb(frames(picture, 26), "frame rate", 4))
    np.testing.assert_allclose(np.diff([frame.time_ms for frame in out]), 100)
    taken = [frame.index for frame in out]
    assert len(taken) == len(set(taken)) == 11
    assert all(abs(40.0 * frame.index - frame.time_ms) <= 20 for frame in out)


def test_a_video_slower_than_asked_stays_as_it_is(picture: np.ndarray) -> None:
    out = list(perturb(frames(picture, 9, period=125.0), "frame rate", 1))
    assert [frame.time_ms for frame in out] == [125.0 * i for i in range(9)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_frames(family: str, picture: np.ndarray) -> None:
    first, again = (
        [frame.image for frame in perturb(frames(picture, 6), family, 5, seed=7)] for _ in range(2)
    )
    assert len(first) == len(again)
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_unknown_names_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(UserError, match="expected a perturbation of saturation, contrast"):
        perturb(frames(picture), "fog", 1)
    with pytest.raises(UserError, match="level 1 to 5"):
        perturb(frames(picture), "JPEG", 6)
