"""GFF's own layers, against NumPy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent))

from naive_convolutions import convolve, sigmoid

from keras_ddl.framework import keras
from keras_ddl.networks.zoo.parts.gff_layers import (
    CosineLogits,
    SpatialAttention,
    SRMResiduals,
    srm_kernels,
)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_the_kernels_are_differences() -> None:
    square, large, row = np.moveaxis(srm_kernels(), -1, 0)
    np.testing.assert_allclose(srm_kernels().sum((0, 1)), 0, atol=1e-12)
    assert [np.abs(kernel).max() for kernel in (square, large, row)] == [1, 1, 1]
    for kernel in (square, large):
        np.testing.assert_array_equal(kernel, kernel.T)
        np.testing.assert_array_equal(kernel, kernel[::-1])
        np.testing.assert_allclose(kernel.sum(0), 0, atol=1e-12)  # blind to ramps too
    np.testing.assert_array_equal(row[2], [0, 0.5, -1, 0.5, 0])
    assert np.count_nonzero(row) == 3 and np.count_nonzero(square) == 9
    np.testing.assert_array_equal(large[0] * 12, [-1, 2, -2, 2, -1])


@pytest.mark.parametrize("separate", [False, True])
def test_residuals_by_loops(separate: bool) -> None:
    x, kernels = 2 * noise(2, 7, 6, 3), srm_kernels()
    got = SRMResiduals(separate)(x).numpy()
    cut = 0
    for n, row, column, which in np.ndindex(2, 7, 6, 3):
        sums = []
        for channel in range(3):
            total = 0.0
            for i, j in np.ndindex(5, 5):
                r, c = row + i - 2, column + j - 2
                if 0 <= r < 7 and 0 <= c < 6:
                    total += x[n, r, c, channel] * kernels[i, j, which]
            sums.append(total)
        expected = [(3 * channel + which, value) for channel, value in enumerate(sums)]
        for place, value in expected if separate else [(which, sum(sums))]:
            cut += abs(value) > 3
            limited = max(-3, min(3, value))
            assert got[n, row, column, place] == pytest.approx(limited, abs=1e-5)
    assert cut > 5 and np.abs(got).max() == 3


def test_a_flat_image_leaves_nothing_and_costs_are_counted() -> None:
    for separate, maps in ((False, 3), (True, 9)):
        layer = SRMResiduals(separate)
        left = layer(np.full((1, 9, 9, 3), 0.7, np.float32)).numpy()
        assert left.shape == (1, 9, 9, maps)
        np.testing.assert_allclose(left[:, 2:-2, 2:-2], 0, atol=1e-6)
        assert layer.macs() == 81 * 25 * 3 * 3
        assert SRMResiduals.from_config(layer.get_config()).separate is separate


def test_where_to_look(randomise: Callable[..., None], near: Callable[..., None]) -> None:
    layer, x = SpatialAttention(), noise(1, 9, 8, 5)
    layer.build(x.shape)
    randomise(layer)
    both = np.stack([x[0].mean(-1), x[0].max(-1)], -1)
    expected = sigmoid(convolve(both, layer.kernel.numpy()))
    assert np.ptp(expected) > 0.1
    near(layer(x)[0], expected, 1e-5)
    assert layer.macs() == 9 * 8 * 49 * 2


def test_logits_are_scaled_cosines(
    randomise: Callable[..., None], near: Callable[..., None]
) -> None:
    layer, x = CosineLogits(3, 20.0), noise(4, 8)
    layer.build(x.shape)
    randomise(layer)
    kernel = layer.kernel.numpy().astype(float)
    lengths = np.linalg.norm(x, axis=1)[:, None] * np.linalg.norm(kernel, axis=0)
    near(layer(x), 20 * (x @ kernel) / lengths, 1e-5)
    near(layer(7 * x), layer(x), 1e-5)  # length says nothing
    near(tf.linalg.diag_part(layer(kernel.T.astype(np.float32))), [20, 20, 20], 1e-6)
    again = CosineLogits.from_config(layer.get_config())
    assert (again.classes, again.scale, layer.macs()) == (3, 20.0, 24)
    assert isinstance(again, keras.layers.Layer)
