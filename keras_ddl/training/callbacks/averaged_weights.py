"""Averaged weights of the optimiser, which the model has while it is judged."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

import numpy as np

from keras_ddl.framework import keras, tf
from keras_ddl.training.batch_norm import agree

STEPS = 20
"""Training batches from which batch norm takes the statistics of averaged weights."""


class AveragedWeights(keras.callbacks.Callback):
    """Exchange of the model's weights for the optimiser's averages while it is judged.

    Stands before the callbacks that judge and keep; its `back` stands behind them and gives the
    model the weights it goes on training with. Does nothing where the optimiser keeps no average.

    Batch norm's moving statistics are those of the weights that were trained, not of their average,
    and would make it look worse than it is: they are taken anew, from the batches of the epoch's
    beginning (Izmailov et al., Averaging weights leads to wider optima, UAI 2018, section 3.2).

    Args:
        batches: From an epoch to its training batches, as they are spread over the devices; None
            leaves the statistics as they are.

    Attributes:
        back: The callback that undoes it.
    """

    def __init__(self, batches: Callable[[int], Iterable[Any]] | None = None) -> None:
        super().__init__()
        self._batches = batches
        self._kept: list[np.ndarray] = []
        self._statistics: list[np.ndarray] = []
        self._learn: Any = None
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
            self._take_statistics(epoch)

    def _take_statistics(self, epoch: int) -> None:
        moving = self.model.non_trainable_variables
        if self._batches is None or not moving:
            return
        self._statistics = [value.numpy() for value in moving]
        model, strategy = self.model, self.model.distribute_strategy
        if self._learn is None:  # of this phase's model, in which other layers may rest

            def learn(clips: Any) -> None:
                strategy.run(lambda one: model(one, training=True), args=(clips,))

            self._learn = tf.function(learn)
        for batch in islice(iter(self._batches(epoch)), STEPS):
            self._learn(batch[0])
        agree(model)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._learn = None

    def _restore(self) -> None:
        if self._statistics:
            _assign(self.model.non_trainable_variables, self._statistics)
            self._statistics = []
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
