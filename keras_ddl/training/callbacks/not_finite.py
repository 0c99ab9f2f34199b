"""End of a training whose numbers are not finite, with the videos that it was learning from."""

from __future__ import annotations

import math
from typing import Any

from keras_ddl.data.pipeline import TrainingClips
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.framework import keras, tf
from keras_ddl.training.callbacks.progress import Progress


class StopWhenNotFinite(keras.callbacks.Callback):
    """End of the training with the first step whose loss, or whose weights, are no numbers.

    The weights are looked at too: ReLU(NaN) is 0 on a CPU, and the loss stays finite.

    Args:
        clips: What is learnt from.
        batch: Clips per step.
        first: Step of its epoch with which the training goes on.
        progress: Knows the hard videos.

    Raises:
        UserError: In training; names the batch's videos.
    """

    def __init__(
        self, clips: TrainingClips, batch: int, first: int = 0, progress: Progress | None = None
    ) -> None:
        super().__init__()
        self._clips, self._batch, self._first = clips, batch, first
        self._progress = progress or Progress()
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        loss = math.nan if logs is None else logs["loss"]
        if math.isfinite(loss) and bool(_finite(self.model.trainable_variables)):
            return
        step = self._first + batch
        hard = self._progress.hard_keys()
        videos = ", ".join(self._clips.videos_of(self._batch, self._epoch, step, hard))
        raise UserError(
            f"training diverged at step {step + 1} of epoch {self._epoch + 1}: loss {loss:.3g} or "
            f"weights are not finite; its batch: {videos}; look at these clips, set a lower "
            "learning_rate, or a clip_norm",
            CHECK_FAILED,
        )

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._first = 0


@tf.function
def _finite(weights: list[tf.Variable]) -> tf.Tensor:
    """Whether all entries of all weights are finite."""
    return tf.reduce_all([tf.reduce_all(tf.math.is_finite(weight)) for weight in weights])
