"""Stops a training whose loss is not a number, and says what it was learning from."""

from __future__ import annotations

import math
from typing import Any

from keras_ddl.data.pipeline import TrainingClips
from keras_ddl.errors import CHECK_FAILED, UserError
from keras_ddl.framework import keras


class StopWhenNotFinite(keras.callbacks.Callback):
    """Ends the training with the first step whose loss is not finite.

    Args:
        clips: What is learnt from.
        batch: Clips per step.
        first: Step of its epoch with which the training goes on.

    Raises:
        UserError: In training; names the batch's videos.
    """

    def __init__(self, clips: TrainingClips, batch: int, first: int = 0) -> None:
        super().__init__()
        self._clips, self._batch, self._first = clips, batch, first
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None or math.isfinite(logs["loss"]):
            return
        step = self._first + batch
        videos = ", ".join(self._clips.videos_of(self._batch, self._epoch, step))
        raise UserError(
            f"the loss is {logs['loss']} at step {step + 1} of epoch {self._epoch + 1}; its batch: "
            f"{videos}; look at these clips, or set a lower learning_rate or clip_norm",
            CHECK_FAILED,
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._first = 0
