"""The weights of the best epoch, or of the last one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.files import atomic_write
from keras_ddl.framework import keras
from keras_ddl.training.callbacks.progress import Progress
from keras_ddl.training.callbacks.validation import AUC, LOSS

SELECTIONS = {
    "best": "highest video-level validation AUC; ties: lower validation loss, then earlier epoch",
    "last": "the last epoch; validation was not asked",
}
"""By which rule an epoch is chosen, and what a run says of it."""


class BestWeights(keras.callbacks.Callback):
    """Weights of the epoch with the best video-level validation AUC, kept in a file.

    Ties go to the lower validation loss, then to the earlier epoch. Stands before `Record`, whose
    history it compares with.

    Args:
        path: The weights file (`.h5`); holds those chosen so far at any time.
        progress: Is told the chosen epoch.
        selection: One of `SELECTIONS`.
    """

    def __init__(self, path: Path, progress: Progress, selection: str = "best") -> None:
        super().__init__()
        self._path, self._progress, self._last = path, progress, selection == "last"

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not (self._last or self._is_best(logs or {})):
            return
        try:
            with atomic_write(self._path) as partial:
                _reserve(partial, sum(weight.nbytes for weight in self.model.get_weights()))
                self.model.save_weights(str(partial), save_format="h5")
        except (OSError, RuntimeError) as error:  # HDF5 has no better name for a full disk
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot write the best weights to {self._path}: {' '.join(reason.split())}; "
                "make room, then go on with --resume",
                MISSING,
            ) from error
        self._progress.best_epoch = epoch + 1

    def _is_best(self, logs: dict[str, Any]) -> bool:
        best, history = self._progress.best_epoch, self._progress.history
        if not best:
            return True
        before = (history[AUC][best - 1], -history[LOSS][best - 1])
        return (logs[AUC], -logs[LOSS]) > before


def _reserve(path: Path, size: int) -> None:
    """Ask for room on the disk first: HDF5 cannot close a file that finds none.

    Raises:
        OSError: there is none.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
