"""The learning rate of a step."""

from __future__ import annotations

from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.framework import keras


def learning_rate(config: TrainConfig, epoch: int, step: int = 0) -> float:
    """Return the learning rate of a step.

    It grows evenly over the first `warmup_steps`, is halved every `halve_every` epochs and is
    `tuned_rate` times as high once a backbone that was at rest is trained too. A batch
    other than `base_batch` scales it, if the configuration says so: linearly, as one large step
    then stands for several small ones (Goyal et al. 2017), or by the square root, which keeps the
    noise of Adam's steps (Malladi et al. 2022).

    Args:
        config: The configuration.
        epoch: From 0.
        step: Over all epochs, from 0.
    """
    halvings = epoch // config.halve_every if config.halve_every else 0
    power = {"": 0.0, "linear": 1.0, "sqrt": 0.5}[config.scale_lr]
    scale = (config.batch / config.base_batch) ** power
    warm = min(1.0, (step + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    tuned = config.tuned_rate if 0 < config.frozen_epochs <= epoch else 1.0
    return config.learning_rate * scale * tuned * warm * 0.5**halvings


class LearningRate(keras.callbacks.Callback):
    """Learning rate, set before every step that changes it; adds `lr` to the epoch's logs.

    Args:
        config: The configuration.
        steps: Steps per epoch.
        first: Step of its epoch with which the training goes on.
    """

    def __init__(self, config: TrainConfig, steps: int, first: int = 0) -> None:
        super().__init__()
        self._config, self._steps, self._first = config, steps, first
        self._epoch, self._rate = 0, -1.0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._rate = -1.0  # another phase has another optimiser, which starts at its own rate

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        step = self._epoch * self._steps + self._first + batch
        rate = learning_rate(self._config, self._epoch, step)
        if rate != self._rate:
            self._rate = rate
            keras.backend.set_value(self.model.optimizer.learning_rate, rate)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._first = 0
        if logs is not None:
            logs["lr"] = self._rate
