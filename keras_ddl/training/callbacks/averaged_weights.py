"""Averaged weights of the optimiser, which the model has while it is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ddl.framework import keras


class AveragedWeights(keras.callbacks.Callback):
    """Exchange of the model's weights for the optimiser's averages while it is judged.

    Stands before the callbacks that judge and keep; its `back` stands behind them and gives the
    model the weights it goes on training with. Does nothing where the optimiser keeps no average.

    Attributes:
        back: The callback that undoes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[np.ndarray] = []
        self.back = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: self._restore())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        # Keras leaves the averages in the model, where another call of `fit` would go on from them.
        self._restore()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        averages = averaged_weights(self.model)
        if averages is not None:
            weights = self.model.trainable_variables
            self._kept = [weight.numpy() for weight in weights]
            _assign(weights, averages)

    def _restore(self) -> None:
        if self._kept:
            _assign(self.model.trainable_variables, self._kept)


def _assign(weights: Any, values: Any) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def averaged_weights(model: keras.Model) -> list[Any] | None:
    """The optimiser's moving averages of the trainable weights, in their order.

    None where it keeps none or has not made a step.
    """
    optimiser = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    averages = getattr(optimiser, "_model_variables_moving_average", None)
    return [value.numpy() for value in averages] if averages else None
