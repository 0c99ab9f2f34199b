"""TensorBoard log of a training: the numbers of every epoch, and where the network looks."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepared import read_split
from keras_ddl.data.pseudo_fakes.rows import judging_mode, with_pseudo_fakes
from keras_ddl.data.video_index import CLASSES
from keras_ddl.framework import keras, tf
from keras_ddl.networks.model import shows_map, with_inconsistency_map
from keras_ddl.report.strip import tiles
from keras_ddl.training.callbacks.gammas import gammas
from keras_ddl.training.devices import Devices

FOLDER = "tensorboard"
CLIPS = 2  # of each class

_log = logging.getLogger(__name__)


def tensorboard_logs(
    run: Path, prepared: Path, devices: Devices, pseudo: str = "", single: bool = False
) -> list[TensorBoardLog]:
    """Return the callback that writes RUN/tensorboard; none where it would have nothing to do.

    Where the package is missing one line says so. With several workers all of them get one, because
    all take part in making the view of the network; the chief's alone writes.
    """
    installed = find_spec("tensorboard") is not None
    if devices.chief and not installed:
        _log.info("no files for TensorBoard: for them, pip install tensorboard")
    if not installed and devices.workers == 1:
        return []
    folder = Path(run) / FOLDER if devices.chief and installed else None
    return [TensorBoardLog(folder, prepared, devices, pseudo, single)]


class TensorBoardLog(keras.callbacks.Callback):
    """Log of each epoch's numbers and pictures for TensorBoard; the epoch, from 1, is the step.

    Scalars: all of the epoch's logs as `epoch/<name>`, γ of every module as `gamma/<name>`.
    Pictures: two real and two fake validation clips, `clips/<class> <video>`, the frames side by
    side and, where the network has a map, below each where the network looked.

    One folder for a run, however often it is interrupted: every process adds a file. An epoch that
    comes again after `--resume` is written again, with the same numbers.

    Args:
        folder: Of the files; None writes nothing.
        prepared: Folder of prepared clips.
        devices: That train.
        pseudo: In which mode the network learns from pseudo-fakes.
        single: Whether it learns from single frames.
    """

    def __init__(
        self,
        folder: Path | None,
        prepared: Path,
        devices: Devices,
        pseudo: str = "",
        single: bool = False,
    ) -> None:
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder)) if folder else None
        self._devices = devices
        self._names, self._clips = _samples(prepared, pseudo, single)
        self._look: Any = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        maps = self._maps()
        if self._writer is None:
            return
        with self._writer.as_default(step=epoch + 1):
            for name, value in (logs or {}).items():
                tf.summary.scalar(f"epoch/{name}", value)
            for name, value in gammas(self.model).items():
                tf.summary.scalar(f"gamma/{name}", value)
            for name, clip, heat in zip(self._names, self._clips, maps, strict=True):
                tf.summary.image(f"clips/{name}", np.hstack(tiles(clip, heat))[None])
        self._writer.flush()

    def _maps(self) -> Any:
        """Per clip its inconsistency map, float32 (T, h, w), or None."""
        if not shows_map(self.model):
            return [None] * len(self._clips)
        strategy = self._devices.strategy
        if self._look is None:
            view = with_inconsistency_map(self.model)

            def maps(clips: Any) -> Any:
                return view(clips, training=False)[1]

            self._look = tf.function(lambda clips: strategy.run(maps, args=(clips,)))
        return strategy.experimental_local_results(self._look(tf.constant(self._clips)))[0].numpy()


def _samples(prepared: Path, pseudo: str, single: bool) -> tuple[list[str], np.ndarray]:
    """Names and pixels, uint8 (N, T, S, S, 3), of validation clips, evenly chosen in each class."""
    data = read_split(prepared, "val")
    mode = judging_mode(data, pseudo)
    data = with_pseudo_fakes(data).data if mode else data
    chosen = []
    for label in (0, 1):
        numbers = np.flatnonzero(data.labels == label)
        apart = max(1, (len(numbers) - 1) // (CLIPS - 1))
        chosen += numbers[::apart][:CLIPS].tolist()
    clips = clip_dataset(prepared, "val", len(chosen), pseudo=mode, single=single, only=chosen)
    names = [f"{CLASSES[data.labels[n]]} {'/'.join(filter(None, data.keys[n]))}" for n in chosen]
    return names, next(iter(clips))[0].numpy()
