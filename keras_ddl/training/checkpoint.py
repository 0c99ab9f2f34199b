"""Checkpoints: written whole or not at all, checked before they are trusted, two of them kept.

`checkpoints/epoch-003-step-00040/` holds TensorFlow's own checkpoint of model and optimiser, and
`progress.json` with `Progress` and the SHA-256 of each file. It appears under its name when it is
complete; only then is the last but one thrown away.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json
from keras_ddl.edge.runs import CHECKPOINTS
from keras_ddl.framework import keras, tf
from keras_ddl.training.batch_norm import agree
from keras_ddl.training.callbacks.progress import Progress
from keras_ddl.training.energy import EnergyMeter

KEEP = 2
_STATE, _PROGRESS = "state", "progress.json"


class Checkpoints:
    """The checkpoints of a run.

    Args:
        run: The run folder, the same for all workers.
        chief: Whether this process writes; the others take part in reading the variables, as
            TensorFlow asks, and throw theirs away.
    """

    def __init__(self, run: Path, chief: bool = True) -> None:
        self._folder, self._chief = Path(run) / CHECKPOINTS, chief

    def all(self) -> list[Path]:
        """Complete checkpoints, the newest last."""
        return sorted(self._folder.glob("epoch-*"))

    def write(self, model: keras.Model, progress: Progress) -> None:
        """Write model, optimiser and progress; throw away what is older than the one before.

        Raises:
            UserError: If it cannot be written whole. The checkpoints before it are untouched.
        """
        agree(model)
        state = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        if not self._chief:
            with tempfile.TemporaryDirectory() as aside:
                state.write(str(Path(aside) / _STATE))
            return
        name = f"epoch-{progress.epoch:04d}-step-{progress.step:06d}"
        partial, whole = self._folder / f".{name}", self._folder / name
        try:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            state.write(str(partial / _STATE))
            files = {file.name: file_sha256(file) for file in sorted(partial.iterdir())}
            write_json(partial / _PROGRESS, {"progress": progress.to_dict(), "sha256": files})
            _flush(partial)
            shutil.rmtree(whole, ignore_errors=True)
            partial.rename(whole)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            kept = self.all()
            remedy = f"{kept[-1]} is whole, go on from it with --resume" if kept else "begin again"
            raise UserError(
                f"cannot write the checkpoint {whole}: {_line(error)}; make room, then: {remedy}",
                MISSING,
            ) from error
        for old in self.all()[:-KEEP]:
            shutil.rmtree(old, ignore_errors=True)

    def choose(self, previous: bool = False) -> tuple[Path, Progress] | None:
        """Return the newest checkpoint, or the one before it, with its progress.

        Returns:
            None where there is none yet.

        Raises:
            UserError: If it is damaged; says whether the one before it is whole.
        """
        kept = self.all()
        if not kept:
            return None
        if previous and len(kept) < 2:
            raise UserError(f"--previous: {self._folder} holds one checkpoint only, {kept[0].name}")
        chosen = kept[-2] if previous else kept[-1]
        problem = _problem(chosen)
        if problem:
            before = None if previous or len(kept) < 2 else kept[-2]
            usable = before is not None and not _problem(before)
            remedy = f"{before} is whole: go on from it with --previous" if usable else "begin anew"
            raise UserError(f"{chosen} is damaged: {problem}; {remedy}", CHECK_FAILED)
        return chosen, Progress(**read_json(chosen / _PROGRESS)["progress"])


def restore(chosen: Path, model: keras.Model, optimiser: bool = True) -> None:
    """Put a checkpoint's weights into a compiled model, and its optimiser's state where asked.

    Raises:
        UserError: If it is another network's.
    """
    try:
        if optimiser:
            state = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
            state.read(str(chosen / _STATE)).assert_existing_objects_matched()
        else:
            state = tf.train.Checkpoint(model=_layers(model))
            state.read(str(chosen / _STATE)).expect_partial()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{chosen} does not fit the network: {_line(error)}") from error


def _layers(model: keras.Model) -> tf.train.Checkpoint:
    """A network as a checkpoint names it, without the optimiser that a compiled network keeps."""
    children = model._trackable_children().items()
    layers = {name: child for name, child in children if isinstance(child, keras.layers.Layer)}
    return tf.train.Checkpoint(**layers)


class WriteCheckpoints(keras.callbacks.Callback):
    """Writer of a checkpoint after every epoch and, where asked, every so many steps.

    Stands behind `Record`.

    Args:
        checkpoints: Where to.
        progress: Is kept with the weights.
        steps: Per epoch.
        every: Steps; 0 = after epochs only.
        meter: Says what the GPUs have used so far.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        progress: Progress,
        steps: int,
        every: int,
        meter: EnergyMeter,
    ) -> None:
        super().__init__()
        self._checkpoints, self._progress = checkpoints, progress
        self._steps, self._every, self._meter = steps, every, meter
        self._since = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        progress = self._progress
        progress.step += 1
        if self._every and progress.step % self._every == 0 and progress.step < self._steps:
            metrics = self.model.metrics
            progress.sums = [[float(w) for w in metric.get_weights()] for metric in metrics]
            self._write()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._write()

    def _write(self) -> None:
        now = time.monotonic()
        self._progress.seconds += now - self._since
        self._since = now
        self._progress.joules = self._meter.joules()
        self._checkpoints.write(self.model, self._progress)


def _problem(checkpoint: Path) -> str:
    """What is wrong with a checkpoint's files; empty if nothing is."""
    try:
        recorded = read_json(checkpoint / _PROGRESS)["sha256"]
    except (UserError, KeyError, TypeError) as error:
        return f"{_PROGRESS} cannot be read ({error})"
    for name, digest in recorded.items():
        file = checkpoint / name
        if not file.is_file():
            return f"{name} is missing"
        if file_sha256(file) != digest:
            return f"{name} is not what was written ({file.stat().st_size} bytes)"
    return ""


def _flush(folder: Path) -> None:
    """Bring a folder's files to the disk, so that a name never stands for less than its content."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)
        os.close(handle)


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
