"""Optimiser and loss of a training, and their variables made before the first step."""

from __future__ import annotations

from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.framework import keras, tf


def compile_model(model: keras.Model, config: TrainConfig) -> None:
    """Give a network the configuration's optimiser and loss; in the scope of its strategy."""
    model.compile(
        optimizer=make_optimiser(config),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=config.xla,
    )
    _make_variables(model)


def _make_variables(model: keras.Model) -> None:
    """Make the variables that Keras would make in the first step, of optimiser, loss and metrics.

    A step that makes variables is traced twice, which takes half the time until the second one; and
    an optimiser's averages must be there before they are restored.
    """
    optimiser, weights = model.optimizer, model.trainable_variables
    if hasattr(optimiser, "_create_all_weights"):  # the legacy kind, also in loss scaling
        optimiser._create_all_weights(weights)
    else:
        optimiser.build(weights)
    logits, labels = tf.zeros((1, 2)), tf.zeros((1,), tf.int64)
    model.compiled_loss.build(logits)
    model.compiled_metrics.build(logits, labels)


def make_optimiser(config: TrainConfig) -> Any:
    """Return Adam with the configuration's gradient clipping and weight averaging.

    Its learning rate is that of the first step; `learning_rate.LearningRate` sets the others.
    `model.compile` wraps it in Keras' loss scaling where the precision is float16.
    """
    options: dict[str, Any] = {"learning_rate": config.learning_rate}
    if config.clip_norm:
        options["global_clipnorm"] = config.clip_norm
    if config.ema:
        return keras.optimizers.Adam(**options, use_ema=True, ema_momentum=config.ema)
    return keras.optimizers.legacy.Adam(**options)
