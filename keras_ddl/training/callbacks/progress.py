"""Progress of a training: all of its state that is not weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from keras_ddl.framework import keras


@dataclass
class Progress:
    """State of a training, beside its weights.

    Args:
        epoch: Finished epochs.
        step: Steps done of the next one.
        best_epoch: From 1, chosen on validation; 0 before the first.
        seconds: Wall time of the training, validation included, over all its runs.
        joules: Energy of the GPUs, likewise; None where it is not reported.
        history: Per quantity its value at each finished epoch.
        sums: State of the running metrics of the unfinished epoch.
        hard: Keys of the videos that come more often in the unfinished epoch, with mining.
    """

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    seconds: float = 0.0
    joules: float | None = 0.0
    history: dict[str, list[float]] = field(default_factory=dict)
    sums: list[list[float]] = field(default_factory=list)
    hard: list[list[str]] = field(default_factory=list)

    def hard_keys(self) -> list[Any]:
        """Return `hard` as keys of videos."""
        return [(*key,) for key in self.hard]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values; floats survive to the bit."""
        return asdict(self)

    def waited(self, patience: int) -> bool:
        """Whether the best epoch lies `patience` epochs back; never where that is 0."""
        return bool(patience and self.epoch and self.epoch - self.best_epoch >= patience)


class Record(keras.callbacks.Callback):
    """Record of finished epochs in the progress, and the end of a training out of patience.

    Stands behind the callbacks that add to the epoch's logs.
    """

    def __init__(self, progress: Progress, patience: int = 0) -> None:
        super().__init__()
        self._progress, self._patience = progress, patience

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        progress = self._progress
        for name, value in (logs or {}).items():
            progress.history.setdefault(name, []).append(float(value))
        progress.epoch, progress.step, progress.sums = epoch + 1, 0, []
        self.model.stop_training = progress.waited(self._patience)


class GoOn(keras.callbacks.Callback):
    """Running metrics of an epoch, carried over from the run in which it began.

    Keras makes its metrics with the first step, which is why they are added after it.

    Args:
        sums: State of the metrics; empty where the training begins with an epoch.
    """

    def __init__(self, sums: list[list[float]]) -> None:
        super().__init__()
        self._sums, self._within = sums, bool(sums)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        for metric, sums in zip(self.model.metrics, self._sums, strict=False):
            metric.set_weights([w + s for w, s in zip(metric.get_weights(), sums, strict=True)])
        self._sums = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._within and logs is not None:
            logs.update({metric.name: float(metric.result()) for metric in self.model.metrics})
        self._within = False
