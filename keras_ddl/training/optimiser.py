"""The optimiser of a configuration: Adam, with what the framework has around it."""

from __future__ import annotations

from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.framework import keras


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


def averaged_weights(model: keras.Model) -> list[Any] | None:
    """The optimiser's moving averages of the trainable weights, in their order.

    None where it keeps none or has not made a step.
    """
    optimiser = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    averages = getattr(optimiser, "_model_variables_moving_average", None)
    return [value.numpy() for value in averages] if averages else None
