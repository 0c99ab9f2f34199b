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
from keras_ddl.training.options import TrainingOptions


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Args:
        model: With the best epoch's weights.
        history: Per quantity its value at each epoch.
        best_epoch: From 1, chosen on validation.
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
    steps = clips.steps(config.batch)
    chosen = checkpoints.choose(options.previous) if checkpoints else None
    restored, progress = chosen or (None, Progress())
    done = progress.epoch * steps + progress.step
    model = untrained(config, devices) if model is None else model
    if config.localise:
        with devices.strategy.scope():
            model = localising(model, config.localise_weight)
    bar = TrainingBar(config.epochs, steps, done, options.progress and devices.chief)
    started = time.monotonic() - progress.seconds
    meter = energy_meter(devices, progress.joules)
    part = (devices.worker, devices.workers)

    def batches(epoch: int) -> Any:
        start = (epoch, 0)
        stream = partial(clips.stream, config.batch, start, part, devices.replicas)
        return devices.spread(stream)

    averages = AveragedWeights(batches)
    record = [Record(progress, config.patience)]
    if checkpoints:
        every = options.checkpoint_every
        record.append(WriteCheckpoints(checkpoints, progress, steps, every, meter))
    in_order = [
        GoOn(progress.sums),
        LearningRate(config, steps, progress.step),
        StopWhenNotFinite(clips, config.batch, progress.step, progress),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: agree(model)),
        averages,
        validation or VideoAUC(config, prepared, devices),
        BestWeights(weights, progress),
        GammaLog(),
        *([HardVideos(config, prepared, clips, devices, progress)] if config.mining else ()),
        *callbacks,
        averages.back,
        *record,
        bar,
    ]
    try:
        _train(model, config, devices, clips, progress, restored, in_order)
    finally:
        bar.close()
    if config.single_frames or config.localise:
        model = build(config)  # of the same layers, for whole clips and without the training step
    model.load_weights(str(weights))
    seconds = time.monotonic() - started
    return Fitted(model, progress.history, progress.best_epoch, seconds, meter.joules())


def _train(
    model: keras.Model,
    config: TrainConfig,
    devices: Devices,
    clips: TrainingClips,
    progress: Progress,
    restored: Path | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Go through what is left of all phases; from a checkpoint, where one is to be restored."""
    steps, part = clips.steps(config.batch), (devices.worker, devices.workers)
    for phase in phases(config):
        if progress.epoch >= phase.last or progress.waited(config.patience):
            continue
        with devices.strategy.scope():
            rest_backbone(model, phase.rests)
            if config.rest_before:
                rest_until(model, stage_layer(config))
            compile_model(model, config)
            if restored:
                begun = (progress.epoch, progress.step) != (phase.first, 0)
                restore(restored, model, optimiser=begun)
                if not begun:  # a phase has an optimiser of its own, whose averages begin here
                    compile_model(model, config)
                restored = None
        for first, last, skipped in _legs(progress, phase, bool(config.mining)):
            start = (first, skipped)
            order = (config.batch, start, part, devices.replicas)
            stream = partial(clips.stream, *order, grid_of(model), progress.hard_keys())
            model.fit(
                devices.spread(stream),
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=steps - skipped,
                callbacks=callbacks,
                verbose=0,
            )
            if model.stop_training:
                break


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


def compile_model(model: keras.Model, config: TrainConfig) -> None:
    """Give a network the configuration's optimiser and loss; in the scope of its strategy."""
    model.compile(
        optimizer=make_optimiser(config),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=config.xla,
    )
    _make_variables(model)


def _make_variables(model: keras.Model) -> None:
    """Make the variables that Keras would make in the first step, of optimiser, loss and metrics.

    A step that makes variables is traced twice, which takes half the time until the second one; and
    an optimiser's averages must be there before they are restored.
    """
    optimiser, weights = model.optimizer, model.trainable_variables
    if hasattr(optimiser, "_create_all_weights"):  # the legacy kind, also in loss scaling
        optimiser._create_all_weights(weights)
    else:
        optimiser.build(weights)
    logits, labels = tf.zeros((1, 2)), tf.zeros((1,), tf.int64)
    model.compiled_loss.build(logits)
    model.compiled_metrics.build(logits, labels)


def make_optimiser(config: TrainConfig) -> Any:
    """Return Adam with the configuration's gradient clipping and weight averaging.

    Its learning rate is that of the first step; `learning_rate.LearningRate` sets the others.
    `model.compile` wraps it in Keras' loss scaling where the precision is float16.
    """
    options: dict[str, Any] = {"learning_rate": config.learning_rate}
    if config.clip_norm:
        options["global_clipnorm"] = config.clip_norm
    if config.ema:
        return keras.optimizers.Adam(**options, use_ema=True, ema_momentum=config.ema)
    return keras.optimizers.legacy.Adam(**options)


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
