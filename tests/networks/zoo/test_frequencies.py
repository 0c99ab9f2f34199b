"""F3-Net's views of the frequencies, against cosines, counting and loops."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import cos, log10, pi, sqrt
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent))

from naive_convolutions import sigmoid

from keras_ddl.framework import keras
from keras_ddl.networks.zoo.parts.frequencies import FAD, LFS, dct_matrix, image_bands, local_bands


def wave(size: int, row: int, column: int) -> np.ndarray:
    """A picture of one frequency, of length 1."""
    parts = []
    for frequency in (row, column):
        along = np.array([cos(pi * frequency * (i + 0.5) / size) for i in range(size)])
        parts.append(along / sqrt((along**2).sum()))
    return np.outer(*parts)


@pytest.mark.parametrize("size", [1, 7, 10, 64])
def test_the_matrix_is_the_cosine_formula_and_orthonormal(size: int) -> None:
    matrix = dct_matrix(size)
    for k in range(size):
        for i in range(size):
            scale = sqrt((1 if k == 0 else 2) / size)
            assert matrix[k, i] == pytest.approx(scale * cos(pi * k * (2 * i + 1) / (2 * size)))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)


def test_the_bands_of_an_image_part_its_spectrum() -> None:
    masks = image_bands(299)
    counts = masks.sum((1, 2)).tolist()
    low = 107 * 108 // 2  # i + j up to 106 < 299 / 2.82
    middle = 150 * 151 // 2 - low  # up to 149 < 299 / 2
    assert counts == [low, middle, 299**2 - low - middle, 299**2]
    np.testing.assert_array_equal(masks[:3].sum(0), masks[3])
    even = image_bands(64)  # 32 = S / 2 is the high band's
    assert [even[band, 16, 16] for band in range(3)] == [0, 0, 1]
    assert [even[band, 16, 15] for band in range(3)] == [0, 1, 0]
    assert [even[band, 0, 22] for band in range(3)] == [1, 0, 0]  # 22.7


def test_the_bands_of_a_window_part_its_spectrum() -> None:
    # i + j: 0 … 3, 4 … 6, 7 … 9, 10 … 13, 14 … 16, 17 and 18
    assert local_bands().sum((1, 2)).tolist() == [10, 18, 27, 30, 12, 3]
    np.testing.assert_array_equal(local_bands().sum(0), np.ones((10, 10)))


def made(kind: type, shape: tuple[int, ...], learnt: bool = False) -> keras.layers.Layer:
    layer = kind()
    layer.build((None, *shape))
    if learnt:
        layer.learnt.assign(np.random.default_rng(7).standard_normal(layer.learnt.shape))
    return layer


def test_the_decomposition_gives_the_image_back(near: Callable[..., None]) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (2, 48, 48, 3)).astype(np.float32)
    bands = made(FAD, (48, 48, 3))(x).numpy()
    assert bands.shape == (2, 48, 48, 12)
    low, middle, high, everything = np.split(bands, 4, -1)
    near(everything, x, 1e-5)
    near(low + middle + high, x, 1e-5)
    assert min(part.std() for part in (low, middle, high)) > 0.1


@pytest.mark.parametrize(("frequency", "band"), [((3, 9), 0), ((20, 0), 1), ((9, 40), 2)])
def test_a_wave_ends_up_in_its_band_only(
    frequency: tuple[int, int], band: int, near: Callable[..., None]
) -> None:
    image = 24 * wave(48, *frequency)[None, :, :, None].astype(np.float32)  # S / 2.82 = 17.02
    assert np.abs(image).max() > 0.3
    bands = made(FAD, (48, 48, 1))(image).numpy()
    for number in range(4):
        near(bands[..., number], image[..., 0] * (number in (band, 3)), 1e-5)


def test_learnt_filters_weight_single_frequencies(near: Callable[..., None]) -> None:
    layer = made(FAD, (6, 6, 2), learnt=True)
    x = np.random.default_rng(1).uniform(-1, 1, (2, 6, 6, 2)).astype(np.float32)
    masks = image_bands(6) + 2 * sigmoid(layer.learnt.numpy().astype(float)) - 1
    expected = np.zeros((2, 6, 6, 8))
    for n in range(2):
        for channel in range(2):
            for band in range(4):
                for u in range(6):
                    for v in range(6):
                        part = wave(6, u, v)
                        amount = (x[n, :, :, channel] * part).sum() * masks[band, u, v]
                        expected[n, :, :, 2 * band + channel] += amount * part
    near(layer(x), expected, 1e-5)
    assert layer.macs() == 2 * (2 * 6**3 + 4 * 2 * 6**3)  # there, and back for each band


@pytest.mark.parametrize("size", [13, 14])
def test_local_statistics_by_loops(size: int, near: Callable[..., None]) -> None:
    layer = made(LFS, (size, size, 3), learnt=True)
    image = np.random.default_rng(2).integers(0, 256, (size, size, 3))
    got = layer((image[None] / 127.5 - 1).astype(np.float32)).numpy()[0]
    grey = image @ [0.299, 0.587, 0.114]
    padded = np.pad(grey, ((4, 10), (4, 10)))
    masks = local_bands() + 2 * sigmoid(layer.learnt.numpy().astype(float)) - 1
    sides = (size - 1) // 2
    assert got.shape == (sides, sides, 6) == layer.compute_output_shape((1, size, size, 3))[1:]
    for row in range(sides):
        for column in range(sides):
            window = padded[2 * row : 2 * row + 10, 2 * column : 2 * column + 10]
            strength = np.array(
                [
                    [log10(abs((window * wave(10, u, v)).sum()) + 0.1) for v in range(10)]
                    for u in range(10)
                ]
            )
            for band, mask in enumerate(masks):
                mean = (strength * mask).sum() / local_bands()[band].sum()
                assert got[row, column, band] == pytest.approx(mean, abs=1e-4)


def test_a_flat_image_has_its_mean_and_nothing_else(near: Callable[..., None]) -> None:
    image = np.full((1, 32, 32, 3), 200 / 127.5 - 1, np.float32)
    inner = made(LFS, (32, 32, 3))(image).numpy()[0, 2:-2, 2:-2]
    near(inner[..., 0], np.full(inner.shape[:2], (log10(2000.1) - 9) / 10), 1e-2)
    near(inner[..., 1:], np.full((*inner.shape[:2], 5), -1), 1e-2)


@pytest.mark.slow
def test_the_map_has_the_size_of_the_other_streams_first_convolution() -> None:
    for size in range(32, 400):
        windows = (size + 2 * 4 - 10) // 2 + 1  # as the paper slides them
        valid = (size - 3) // 2 + 1  # 3×3, stride 2, no padding
        assert LFS().compute_output_shape((None, size, size, 3))[1] == valid
        assert windows - valid == (size % 2 == 0)
    assert LFS().compute_output_shape((None, 299, 299, 3)) == (None, 149, 149, 6)


def test_images_of_no_known_size_are_refused() -> None:
    with pytest.raises(ValueError, match="square images of a known size"):
        FAD().build((None, 8, 9, 3))
    with pytest.raises(ValueError, match="RGB images of a known size"):
        LFS().build((None, None, None, 3))
