"""The model has the optimiser's averages while it is judged, its own weights otherwise."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.build_network import build
from keras_ddl.config import TrainConfig
from keras_ddl.framework import keras
from keras_ddl.training.callbacks.averaged_weights import AveragedWeights, averaged_weights
from keras_ddl.training.optimiser import make_optimiser


def test_the_average_follows_the_weights_and_training_goes_on_with_its_own() -> None:
    settings = TrainConfig.from_dict(
        {"frames": 4, "size": 32, "width": 0.125, "network": "shallownet", "ema": 0.5}
    )
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


def test_batch_norm_takes_the_statistics_of_the_averaged_weights() -> None:
    """One step with momentum one half: the moving ones are half way, the new ones all the way."""
    layers = keras.layers
    image = layers.Input((4,))
    scaled = layers.Dense(4, use_bias=False, kernel_initializer="identity")(image)
    norm = layers.BatchNormalization(momentum=0.5)
    model = keras.Model(image, layers.Dense(2)(norm(scaled)))
    optimiser = keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimiser, loss)
    values = np.random.default_rng(0).normal(3, 2, (256, 4)).astype(np.float32)
    model.train_on_batch(values, np.zeros(256))
    before = [value.numpy() for value in model.non_trainable_variables]
    asked = []

    def batches(epoch: int) -> list[tuple[np.ndarray, None]]:
        asked.append(epoch)
        return [(tf.constant(values), None)] * 30

    callback = AveragedWeights(batches)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_epoch_end(4)
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    seen = values @ model.layers[1].get_weights()[0]
    np.testing.assert_allclose(mean, seen.mean(0), rtol=1e-3)
    np.testing.assert_allclose(variance, seen.var(0), rtol=2e-2)
    assert asked == [4]
    callback.back.on_epoch_end(4, {})
    for value, expected in zip(model.non_trainable_variables, before, strict=True):
        np.testing.assert_array_equal(value.numpy(), expected)
