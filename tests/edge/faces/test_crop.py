"""square_crop against patterns whose crop a person can write down."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from keras_ddl.edge.faces import square_crop


def pattern(height: int = 60, width: int = 80) -> np.ndarray:
    """Every pixel says where it is: red = row, green = column."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(height)[:, None]
    image[..., 1] = np.arange(width)[None, :]
    return image


def test_a_crop_on_whole_pixels_is_a_copy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert np.array_equal(square_crop(image, (10, 20, 32, 32), 1.0, 32), image[20:52, 10:42])


def test_margin_grows_the_square_around_its_centre() -> None:
    image = pattern()
    crop = square_crop(image, (30, 20, 16, 16), 1.5, 24)
    assert np.array_equal(crop, image[16:40, 26:50])


@pytest.mark.parametrize("box", [(30, 20, 16, 8), (34, 16, 8, 16)])
def test_the_longer_side_makes_the_square(box: tuple[float, ...]) -> None:
    assert np.array_equal(square_crop(pattern(), box, 1.0, 16), pattern()[16:32, 30:46])


@pytest.mark.parametrize("side", [7.0, 20.0, 33.3, 50.0])
@pytest.mark.parametrize("size", [16, 32, 65])
def test_the_centre_maps_to_the_centre(side: float, size: int) -> None:
    x, y = 40.25, 30.75
    crop = square_crop(pattern(), (x - side / 2, y - side / 2, side, side), 1.0, size).astype(float)
    # Pixel j covers j … j + 1, so the value at a place is the place less one half.
    assert crop[..., 0].mean() == pytest.approx(y - 0.5, abs=0.6)
    assert crop[..., 1].mean() == pytest.approx(x - 0.5, abs=0.6)
    assert crop[0, :, 0].mean() == pytest.approx(y - 0.5 - side / 2 + side / size / 2, abs=1.0)
    assert crop[:, -1, 1].mean() == pytest.approx(x - 0.5 + side / 2 - side / size / 2, abs=1.0)


def test_outside_the_image_its_edge_is_repeated() -> None:
    image = pattern()
    crop = square_crop(image, (-10, -10, 20, 20), 1.0, 20)
    expected = np.pad(image[:10, :10], ((10, 0), (10, 0), (0, 0)), mode="edge")
    assert np.array_equal(crop, expected)


@pytest.mark.parametrize(
    "box", [(-500, -500, 30, 30), (1000, 10, 30, 30), (-100, -100, 400, 400), (79, 59, 0.5, 0.5)]
)
def test_a_box_far_outside_still_gives_the_size(box: tuple[float, ...]) -> None:
    crop = square_crop(pattern(), box, 1.3, 48)
    assert crop.shape == (48, 48, 3) and crop.dtype == np.uint8
    if box[0] == -500:
        assert (crop == pattern()[0, 0]).all()


def test_shrinking_averages() -> None:
    fine = np.zeros((64, 64, 3), np.uint8)
    fine[::2, ::2] = fine[1::2, 1::2] = 200  # a checkerboard of single pixels
    crop = square_crop(fine, (0, 0, 64, 64), 1.0, 16)
    assert (crop == 100).all()


def test_a_gliding_box_gives_a_gliding_crop() -> None:
    image = pattern()
    crops = [square_crop(image, (20 + d, 20, 30, 30), 1.0, 60)[30, 30, 1] for d in np.arange(0, 10)]
    assert np.diff(np.array(crops, int)).tolist() == [1] * 9
    halves = [
        square_crop(image * 3, (20 + d, 20, 30, 30), 1.0, 30)[15, 15, 1]
        for d in np.arange(0, 4, 0.25)
    ]
    assert np.diff(np.array(halves, int)).min() >= 0
    assert len(set(halves)) > 8  # moves by parts of a pixel, not only by whole ones


def test_the_input_is_left_alone() -> None:
    image = pattern()
    square_crop(image, (10, 10, 30, 30), 1.3, 30)[:] = 0
    assert np.array_equal(image, pattern())


@pytest.mark.parametrize(
    ("image", "box", "margin", "size"),
    [
        (pattern()[..., 0], (0, 0, 9, 9), 1.3, 32),  # grey
        (pattern().astype(np.float32), (0, 0, 9, 9), 1.3, 32),
        (pattern()[:0], (0, 0, 9, 9), 1.3, 32),  # empty
        (pattern(), (0, 0, 0, 9), 1.3, 32),
        (pattern(), (0, float("nan"), 9, 9), 1.3, 32),
        (pattern(), (0, 0, 9, 9), 0, 32),
        (pattern(), (0, 0, 9, 9), 1.3, 0),
    ],
)
def test_wrong_input(image: np.ndarray, box: tuple[float, ...], margin: float, size: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        square_crop(image, box, margin, size)
