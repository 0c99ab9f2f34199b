"""The training loop: a configuration and prepared clips → a trained network."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from keras_ddl.build_network import build, build_started, stage_layer
from keras_ddl.config import TrainConfig
from keras_ddl.data.pipeline import CACHE_BYTES, TrainingClips
from keras_ddl.data.prepared import check_spec, read_split
from keras_ddl.data.pseudo_fakes.rows import judging_mode, with_pseudo_fakes
from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras, tf
from keras_ddl.training.batch_norm import agree, rest_backbone, rest_until, synchronise
from keras_ddl.training.callbacks.averaged_weights import AveragedWeights
from keras_ddl.training.callbacks.best_weights import BestWeights
from keras_ddl.training.callbacks.gammas import GammaLog
from keras_ddl.training.callbacks.hard_videos import HardVideos
from keras_ddl.training.callbacks.learning_rate import LearningRate
from keras_ddl.training.callbacks.not_finite import StopWhenNotFinite
from keras_ddl.training.callbacks.progress import GoOn, Progress, Record
from keras_ddl.training.callbacks.training_bar import TrainingBar
from keras_ddl.training.callbacks.validation import VideoAUC
from keras_ddl.training.checkpoint import Checkpoints, WriteCheckpoints, restore
from keras_ddl.training.devices import Devices
from keras_ddl.training.energy import energy_meter
from keras_ddl.training.localise import grid_of, localising
from keras_ddl.training.optimiser import compile_model
from keras_ddl.training.options import TrainingOptions


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Args:
        model: With the best epoch's weights.
        history: Per quantity its value at each epoch.
        best_epoch: From 1, chosen by `TrainConfig.selection`.
        seconds: Wall time of the training, validation included.
        joules: Energy of the GPUs meanwhile; None where it is not reported.
    """

    model: keras.Model
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float
    joules: float | None = None


@dataclass(frozen=True)
class Phase:
    """Epochs that are trained alike.

    Args:
        first, last: From 0; `last` is the first epoch behind it.
        rests: Whether the backbone is frozen.
    """

    first: int
    last: int
    rests: bool


def fit(
    config: TrainConfig,
    prepared: Path,
    weights: Path,
    options: TrainingOptions,
    *,
    model: keras.Model | None = None,
    checkpoints: Checkpoints | None = None,
    validation: VideoAUC | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Fitted:
    """Train a network on prepared clips.

    Seeds Python, NumPy and TensorFlow with `config.seed`.

    Args:
        config: What to train and how.
        prepared: Folder of prepared clips.
        weights: File (`.h5`) that holds the best epoch's weights at any time.
        options: How it runs; of its logs, what `callbacks` does not hold is not written here.
        model: What to train; default: the configuration's network, with the weights it starts from.
        checkpoints: Go on from the newest one, if there is any, and write more.
        validation: Of the same configuration and clips, where its scores are needed elsewhere.
        callbacks: More of them; they see the weights that are judged.

    Raises:
        UserError: If a split is empty or has one class, or training diverges.
    """
    devices = options.devices
    devices.check_batch(config.batch)
    check_spec(prepared, config.spec(), settable=True)
    _check_classes(prepared, config)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    clips = training_clips(config, prepared)
    chosen = checkpoints.choose(options.previous) if checkpoints else None
    restored, progress = chosen or (None, Progress())
    model = untrained(config, devices) if model is None else model
    if config.localise:
        with devices.strategy.scope():
            model = localising(model, config.localise_weight)
    loop = _Loop(model, config, prepared, devices, clips, progress)
    started = time.monotonic() - progress.seconds
    meter = energy_meter(devices, progress.joules)
    bar = TrainingBar(config.epochs, loop.steps, loop.done, options.progress and devices.chief)
    last: list[keras.callbacks.Callback] = [Record(progress, config.patience)]
    if checkpoints:
        every = options.checkpoint_every
        last.append(WriteCheckpoints(checkpoints, progress, loop.steps, every, meter))
    averages = AveragedWeights(loop.batches)
    chosen_by = BestWeights(weights, progress, config.selection)
    judging = [validation or VideoAUC(config, prepared, devices), chosen_by]
    of_weights = [*judging, *loop.observers(), *callbacks]
    try:
        loop.run([*loop.guards(), averages, *of_weights, averages.back, *last, bar], restored)
    finally:
        bar.close()
    if config.single_frames or config.localise:
        model = build(config)  # of the same layers, for whole clips and without the training step
    model.load_weights(str(weights))
    seconds = time.monotonic() - started
    return Fitted(model, progress.history, progress.best_epoch, seconds, meter.joules())


@dataclass(frozen=True)
class _Loop:
    """One training: what learns from what, where, and how far it is.

    Args:
        model: As it is trained.
        config: How.
        prepared: Folder of prepared clips.
        devices: Where.
        clips: What it learns from.
        progress: What is done.
    """

    model: keras.Model
    config: TrainConfig
    prepared: Path
    devices: Devices
    clips: TrainingClips
    progress: Progress

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return self.clips.steps(self.config.batch)

    @property
    def done(self) -> int:
        """Steps of the whole training that are done."""
        return self.progress.epoch * self.steps + self.progress.step

    def batches(self, epoch: int) -> Any:
        """The batches of an epoch, for what passes through them beside the training."""
        part, start = (self.devices.worker, self.devices.workers), (epoch, 0)
        replicas = self.devices.replicas
        return self.devices.spread(
            partial(self.clips.stream, self.config.batch, start, part, replicas)
        )

    def guards(self) -> list[keras.callbacks.Callback]:
        """Callbacks that see to the training itself."""
        step, batch = self.progress.step, self.config.batch
        return [
            GoOn(self.progress.sums),
            LearningRate(self.config, self.steps, step),
            StopWhenNotFinite(self.clips, batch, step, self.progress),
            keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: agree(self.model)),
        ]

    def observers(self) -> list[keras.callbacks.Callback]:
        """Callbacks that look at the weights which are judged."""
        if not self.config.mining:
            return [GammaLog()]
        hard = HardVideos(self.config, self.prepared, self.clips, self.devices, self.progress)
        return [GammaLog(), hard]

    def run(self, callbacks: Sequence[keras.callbacks.Callback], restored: Path | None) -> None:
        """Go through what is left of all phases.

        Args:
            callbacks: In their order.
            restored: Checkpoint to go on from.
        """
        for phase in phases(self.config):
            if self.progress.epoch >= phase.last or self.progress.waited(self.config.patience):
                continue
            self._make_ready(phase, restored)
            restored = None
            for first, last, skipped in _legs(self.progress, phase, bool(self.config.mining)):
                self._fit(first, last, skipped, callbacks)
                if self.model.stop_training:
                    break

    def _make_ready(self, phase: Phase, restored: Path | None) -> None:
        model, config, progress = self.model, self.config, self.progress
        with self.devices.strategy.scope():
            rest_backbone(model, phase.rests)
            if config.rest_before:
                rest_until(model, stage_layer(config))
            compile_model(model, config)
            if restored:
                begun = (progress.epoch, progress.step) != (phase.first, 0)
                restore(restored, model, optimiser=begun)
                if not begun:  # a phase has an optimiser of its own, whose averages begin here
                    compile_model(model, config)

    def _fit(
        self, first: int, last: int, skipped: int, callbacks: Sequence[keras.callbacks.Callback]
    ) -> None:
        devices, hard = self.devices, self.progress.hard_keys()
        part, start = (devices.worker, devices.workers), (first, skipped)
        order = (self.config.batch, start, part, devices.replicas)
        self.model.fit(
            devices.spread(partial(self.clips.stream, *order, grid_of(self.model), hard)),
            initial_epoch=first,
            epochs=last,
            steps_per_epoch=self.steps - skipped,
            callbacks=list(callbacks),
            verbose=0,
        )


def training_clips(
    config: TrainConfig, prepared: Path, cache_bytes: int = CACHE_BYTES
) -> TrainingClips:
    """What a configuration learns from; see `TrainingClips` for `cache_bytes`."""
    return TrainingClips(
        prepared,
        config.seed,
        augment=config.augment(),
        twins=config.twins,
        balance=config.balance == "sampling",
        mining=config.mining,
        weights=config.balance == "weights",
        pseudo=config.pseudo_fakes,
        single=config.single_frames,
        cache_bytes=cache_bytes,
    )


def phases(config: TrainConfig) -> list[Phase]:
    """The phases of a training that have any epochs."""
    end, epochs = config.frozen_epochs, config.epochs
    both = [Phase(0, end, rests=True), Phase(end, epochs, rests=False)]
    return [phase for phase in both if phase.last > phase.first]


def _legs(state: Progress, phase: Phase, singly: bool) -> Iterator[tuple[int, int, int]]:
    """Calls of `model.fit`, as (first epoch, end, steps to skip): an epoch begun comes alone.

    Where each epoch decides what the next one draws, every epoch does.
    """
    if state.step:
        yield state.epoch, state.epoch + 1, state.step
    while singly and state.epoch < phase.last:
        yield state.epoch, state.epoch + 1, 0
    if state.epoch < phase.last:
        yield state.epoch, phase.last, 0


def untrained(config: TrainConfig, devices: Devices) -> keras.Model:
    """Build the configuration's network, with the weights it starts from, where it is trained."""
    with devices.strategy.scope():
        model = build_started(config, config.precision, 1 if config.single_frames else None)
        if devices.synchronises(config.sync_batch_norm, config.batch):
            synchronise(model)
    return model


def _check_classes(prepared: Path, config: TrainConfig) -> None:
    for split in ("train", "val"):
        data = read_split(prepared, split)
        mode = config.pseudo_fakes if split == "train" else judging_mode(data, config.pseudo_fakes)
        labels = (with_pseudo_fakes(data, mode).data if mode else data).labels
        if len(set(labels.tolist())) < 2:
            raise UserError(
                f"{prepared}: expected clips of real and fake videos in {split}, received "
                f"{int((labels == 0).sum())} real and {int((labels == 1).sum())} fake clips"
            )
