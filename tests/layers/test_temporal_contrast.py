"""TemporalContrast: where the fusion of frames starts from."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import CUSTOM_OBJECTS, TemporalContrast

T, C, FILTERS = 4, 16, 64
SHAPE = (1, 1, T * C, FILTERS)


@pytest.fixture
def by_frame() -> np.ndarray:
    """The kernel as (T, C, filters)."""
    return TemporalContrast(T, seed=0)(SHAPE).numpy().reshape(T, C, FILTERS)


def test_half_of_the_filters_answer_to_change_alone(by_frame: np.ndarray) -> None:
    still = np.tile(np.random.RandomState(0).standard_normal(C), (T, 1))
    answers = np.tensordot(still, by_frame, axes=2)
    np.testing.assert_allclose(answers[: FILTERS // 2], 0, atol=1e-5)
    assert np.abs(answers[FILTERS // 2 :]).min() > 1e-3, "the other half is an ordinary start"


def test_the_other_half_is_he_normal(by_frame: np.ndarray) -> None:
    ordinary = keras.initializers.HeNormal(0)(SHAPE).numpy().reshape(T, C, FILTERS)
    half = FILTERS // 2
    np.testing.assert_allclose(by_frame[..., half:], ordinary[..., half:], atol=1e-6)
    assert by_frame[..., :half].std() == pytest.approx(ordinary.std() * (3 / 4) ** 0.5, rel=0.05)


def test_it_is_reproducible_and_survives_a_round_trip(by_frame: np.ndarray) -> None:
    config = TemporalContrast(T, seed=0).get_config()
    assert config == {"frames": T, "seed": 0}
    again = TemporalContrast.from_config(config)(SHAPE).numpy().reshape(T, C, FILTERS)
    np.testing.assert_array_equal(again, by_frame)
    assert np.abs(TemporalContrast(T, seed=1)(SHAPE).numpy().ravel() - by_frame.ravel()).max() > 0


def test_a_convolution_that_starts_so_can_be_saved() -> None:
    conv = keras.layers.Conv2D(8, 1, kernel_initializer=TemporalContrast(T, seed=0))
    conv.build((None, 2, 2, T * C))
    stored = keras.layers.serialize(conv)
    with keras.utils.custom_object_scope(CUSTOM_OBJECTS):
        again = keras.layers.deserialize(stored)
    again.build((None, 2, 2, T * C))
    np.testing.assert_array_equal(again.kernel, conv.kernel)


def test_channels_that_are_no_multiple_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of frames = 4 input channels; got 6"):
        TemporalContrast(T)((1, 1, 6, 8))
    with pytest.raises(ValueError, match="multiple of 4; got 6"):
        TemporalContrast(6)
