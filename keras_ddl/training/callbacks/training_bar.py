"""One progress bar over a training, with the time that is left."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

from keras_ddl.framework import keras
from keras_ddl.training.callbacks.validation import AUC, LOSS


class TrainingBar(keras.callbacks.Callback):
    """One progress bar over all steps, and a line for each epoch above it.

    Args:
        epochs: Of the whole training.
        steps: Per epoch.
        done: Steps of an earlier run that this one goes on from.
        show: False shows nothing.
    """

    def __init__(self, epochs: int, steps: int, done: int, show: bool) -> None:
        super().__init__()
        self._epochs, self._show = epochs, show
        self._bar = tqdm(
            total=epochs * steps,
            initial=done,
            desc="training",
            unit="step",
            disable=not show,
            dynamic_ncols=True,
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.update()
        if logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._show:
            self._bar.write(
                f"epoch {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}  "
                f"loss {logs['loss']:.3f}  val loss {logs[LOSS]:.3f}  "
                f"val clip AUC {logs['val_clip_auc']:.3f}  val video AUC {logs[AUC]:.3f}"
            )

    def close(self) -> None:
        """Finish the bar, however the training ended."""
        self._bar.close()
