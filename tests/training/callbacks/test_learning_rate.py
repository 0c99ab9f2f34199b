"""The learning rate of an epoch is the configuration's."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from keras_ddl.config import TrainConfig
from keras_ddl.framework import keras
from keras_ddl.training.callbacks.learning_rate import LearningRate, learning_rate


def test_it_is_halved_as_the_configuration_says() -> None:
    settings = TrainConfig(learning_rate=0.008, halve_every=2)
    rates = [learning_rate(settings, epoch) for epoch in range(6)]
    assert rates == [0.008, 0.008, 0.004, 0.004, 0.002, 0.002]
    settings = TrainConfig(learning_rate=0.4, halve_every=0)
    assert [learning_rate(settings, epoch) for epoch in (0, 99)] == [0.4, 0.4]


def test_the_scaling_rules() -> None:
    for rule, factor in (("", 1), ("linear", 4), ("sqrt", 2)):
        settings = TrainConfig(learning_rate=0.01, scale_lr=rule, batch=48, base_batch=12)
        assert learning_rate(settings, 0) == pytest.approx(0.01 * factor)


def test_a_new_optimiser_gets_the_rate_that_the_one_before_it_had() -> None:
    """After the epochs in which the backbone rests another optimiser goes on."""
    settings = TrainConfig(learning_rate=0.01, scale_lr="linear", batch=48, base_batch=12)
    model = keras.Sequential([keras.layers.Dense(1)])
    callback = LearningRate(settings, steps=1)
    for _ in range(2):
        model.compile(keras.optimizers.legacy.Adam(0.01), "mse")
        model.fit(np.ones((2, 3)), np.ones((2, 1)), callbacks=[callback], verbose=0)
        assert float(model.optimizer.learning_rate) == pytest.approx(0.04)
