"""Options of the optimiser, each against what it must do to the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.config import TrainConfig
from keras_ddl.framework import keras
from keras_ddl.runs import build
from keras_ddl.training.callbacks.averaged_weights import AveragedWeights
from keras_ddl.training.callbacks.learning_rate import learning_rate
from keras_ddl.training.optimiser import averaged_weights, make_optimiser

SMALL = {"frames": 4, "size": 32, "width": 0.125}


def config(**values: Any) -> TrainConfig:
    return TrainConfig.from_dict({**SMALL, **values})


def stepped(settings: TrainConfig, gradients: list[list[float]]) -> tuple[np.ndarray, Any]:
    """A variable [1, 2] after some steps with given gradients."""
    optimiser = make_optimiser(settings)
    weight = tf.Variable([1.0, 2.0])
    for gradient in gradients:
        optimiser.apply_gradients([(tf.constant(gradient), weight)])
    return weight.numpy(), optimiser


def adam(gradients: list[list[float]], rate: float) -> np.ndarray:
    """The weight [1, 2] after Adam's update rule, in NumPy."""
    weight, first, second = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(np.array(gradients), start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight -= rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
    return weight


def test_plain_adam() -> None:
    gradients = [[3.0, -4.0], [0.1, 0.2], [1.0, 0.0]]
    weight, _ = stepped(config(learning_rate=0.01), gradients)
    np.testing.assert_allclose(weight, adam(gradients, 0.01), rtol=1e-5)


def test_large_gradients_are_scaled_to_the_norm_and_small_ones_are_left() -> None:
    """[3, -4] has norm 5 and becomes [0.6, -0.8]; [0.1, 0.2] is below 1 and stays."""
    weight, _ = stepped(config(learning_rate=0.01, clip_norm=1.0), [[3.0, -4.0], [0.1, 0.2]])
    np.testing.assert_allclose(weight, adam([[0.6, -0.8], [0.1, 0.2]], 0.01), rtol=1e-5)
    unclipped = adam([[3.0, -4.0], [0.1, 0.2]], 0.01)
    assert np.abs(weight - unclipped).max() > 1e-3


@pytest.mark.slow
def test_the_average_follows_the_weights_and_training_goes_on_with_its_own() -> None:
    settings = config(ema=0.5, learning_rate=0.01, modules=["dfdc"])
    keras.utils.set_random_seed(0)
    model = build(settings)
    model.compile(
        make_optimiser(settings), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    assert averaged_weights(model) is None
    clips = np.random.default_rng(0).integers(0, 256, (4, 4, 32, 32, 3), np.uint8)
    start = [weight.numpy() for weight in model.trainable_variables]
    averages = [values.copy() for values in start]
    for _ in range(3):
        model.train_on_batch(clips, np.array([0, 1, 0, 1]))
        raw = [weight.numpy() for weight in model.trainable_variables]
        averages = [0.5 * a + 0.5 * w for a, w in zip(averages, raw, strict=True)]
    found = averaged_weights(model)
    assert found is not None
    moved = 0
    for kept, expected, now in zip(found, averages, raw, strict=True):
        np.testing.assert_allclose(kept, expected, atol=1e-5)
        moved += bool(np.abs(kept - now).max() > 1e-4)
    assert moved > len(found) / 2
    callback = AveragedWeights()
    callback.set_model(model)
    callback.on_epoch_end(0)
    for weight, expected in zip(model.trainable_variables, found, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected)
    callback.back.on_epoch_end(0, {})
    for weight, expected in zip(model.trainable_variables, raw, strict=True):
        np.testing.assert_array_equal(weight.numpy(), expected)


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_computes_narrow_and_keeps_weights_and_logits_wide(precision: str) -> None:
    model = build(config(precision=precision), precision=precision)
    assert keras.mixed_precision.global_policy().name == "float32"
    assert {str(weight.dtype.name) for weight in model.weights} == {"float32"}
    narrow = precision.removeprefix("mixed_")
    kinds = {layer.compute_dtype for layer in model.layers if "sepconv" in layer.name}
    assert kinds == {narrow}
    assert model.output.dtype == tf.float32
    model.compile(
        make_optimiser(config()), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    scaled = isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")


def test_the_learning_rate_of_an_epoch_is_the_configurations() -> None:
    settings = config(learning_rate=0.008, halve_every=2)
    rates = [learning_rate(settings, epoch) for epoch in range(6)]
    assert rates == [0.008, 0.008, 0.004, 0.004, 0.002, 0.002]
