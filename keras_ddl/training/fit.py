"""`fit`: a configuration and prepared clips → a trained network."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.data.pipeline import CACHE_BYTES, TrainingClips
from keras_ddl.data.prepared import check_spec, read_split
from keras_ddl.data.pseudo_fakes import with_pseudo_fakes
from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras, tf
from keras_ddl.start_weights import build_started
from keras_ddl.training.batch_norm import agree, rest_backbone, synchronise
from keras_ddl.training.callbacks.averaged_weights import AveragedWeights
from keras_ddl.training.callbacks.best_weights import BestWeights
from keras_ddl.training.callbacks.gammas import GammaLog
from keras_ddl.training.callbacks.learning_rate import LearningRate
from keras_ddl.training.callbacks.not_finite import StopWhenNotFinite
from keras_ddl.training.callbacks.progress import GoOn, Progress, Record
from keras_ddl.training.callbacks.training_bar import TrainingBar
from keras_ddl.training.callbacks.validation import VideoAUC
from keras_ddl.training.checkpoint import Checkpoints, WriteCheckpoints, restore
from keras_ddl.training.energy import energy_meter
from keras_ddl.training.optimiser import make_optimiser
from keras_ddl.training.strategy import Place

Watchers = Callable[[VideoAUC], Sequence[keras.callbacks.Callback]]


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
    progress: bool = True,
    *,
    place: Place | None = None,
    checkpoints: Checkpoints | None = None,
    every: int = 0,
    previous: bool = False,
    watchers: Watchers = lambda _: (),
    make: Callable[[], keras.Model] | None = None,
) -> Fitted:
    """Train a network on prepared clips.

    Seeds Python, NumPy and TensorFlow with `config.seed`.

    Args:
        config: What to train and how.
        prepared: Folder of prepared clips, cut to `config.spec()`.
        weights: File (`.h5`) for the best epoch's weights.
        progress: Show a progress bar and a line per epoch.
        place: Where to train; default: one device.
        checkpoints: Go on from the newest one, if there is any, and write more.
        every: Steps between them; 0 = after epochs only.
        previous: Go on from the newest but one.
        watchers: Makes more callbacks, which see the weights that are judged.
        make: Makes the network; default: the configuration's, with the weights it starts from.

    Raises:
        UserError: If a split is empty or has one class, or training diverges.
    """
    place = place or Place()
    place.check_batch(config.batch)
    check_spec(prepared, config.spec(), settable=True)
    _check_classes(prepared, config)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    clips = training_clips(config, prepared)
    steps = clips.steps(config.batch)
    chosen = checkpoints.choose(previous) if checkpoints else None
    state = chosen[1] if chosen else Progress()
    model = untrained(config, place, make)
    bar = TrainingBar(config.epochs, steps, state.epoch * steps + state.step, progress)
    started = time.monotonic() - state.seconds
    meter = energy_meter(place, state.joules)
    try:
        for phase in phases(config):
            if state.epoch >= phase.last or state.waited(config.patience):
                continue
            with place.strategy.scope():
                rest_backbone(model, phase.rests)
                compile_model(model, config)
                if chosen:
                    # A phase begins with a new optimiser.
                    begun = (state.epoch, state.step) != (phase.first, 0)
                    restore(chosen[0], model, optimiser=begun)
                    chosen = None
            for first, last, skipped in _legs(state, phase):
                validation = VideoAUC(prepared, config.batch, pseudo=config.pseudo(), place=place)
                averages = AveragedWeights()
                record = [Record(state, config.patience)]
                if checkpoints:
                    record.append(WriteCheckpoints(checkpoints, state, steps, every, meter))
                model.fit(
                    place.spread(_stream(clips, config, place, (first, skipped))),
                    initial_epoch=first,
                    epochs=last,
                    steps_per_epoch=steps - skipped,
                    callbacks=[
                        *([GoOn(state.sums)] if skipped else []),
                        LearningRate(config, steps, skipped),
                        StopWhenNotFinite(clips, config.batch, skipped),
                        keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: agree(model)),
                        averages,
                        validation,
                        BestWeights(weights, state),
                        GammaLog(),
                        *watchers(validation),
                        averages.back,
                        *record,
                        bar,
                    ],
                    verbose=0,
                )
                if model.stop_training:
                    break
    finally:
        bar.close()
    model.load_weights(str(weights))
    seconds = time.monotonic() - started
    return Fitted(model, state.history, state.best_epoch, seconds, meter.joules())


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
        weights=config.balance == "weights",
        pseudo=config.pseudo(),
        cache_bytes=cache_bytes,
    )


def phases(config: TrainConfig) -> list[Phase]:
    """The phases of a training that have any epochs."""
    end, epochs = config.frozen_epochs, config.epochs
    both = [Phase(0, end, rests=True), Phase(end, epochs, rests=False)]
    return [phase for phase in both if phase.last > phase.first]


def _legs(state: Progress, phase: Phase) -> Iterator[tuple[int, int, int]]:
    """Calls of `model.fit`, as (first epoch, end, steps to skip): an epoch begun comes alone."""
    if state.step:
        yield state.epoch, state.epoch + 1, state.step
    if state.epoch < phase.last:
        yield state.epoch, phase.last, 0


def _stream(
    clips: TrainingClips, config: TrainConfig, place: Place, start: tuple[int, int]
) -> Callable[[], tf.data.Dataset]:
    part = (place.worker, place.workers)
    return lambda: clips.stream(config.batch, start, part, place.replicas)


def untrained(
    config: TrainConfig, place: Place, make: Callable[[], keras.Model] | None = None
) -> keras.Model:
    """Build the configuration's network, or what `make` makes, where it is to be trained."""
    with place.strategy.scope():
        model = make() if make else build_started(config, config.precision)
        if place.synchronises(config.sync_batch_norm, config.batch):
            synchronise(model)
    return model


def compile_model(model: keras.Model, config: TrainConfig) -> None:
    """Give a network the configuration's optimiser and loss; in the scope of its strategy."""
    optimiser: Any = make_optimiser(config)
    model.compile(
        optimizer=optimiser,
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=config.xla,
    )
    if config.ema:
        model.optimizer.build(model.trainable_variables)  # its averages, before they are restored


def _check_classes(prepared: Path, config: TrainConfig) -> None:
    for split in ("train", "val"):
        data = read_split(prepared, split)
        labels = (with_pseudo_fakes(data) if config.pseudo_fakes else data).labels
        if len(set(labels.tolist())) < 2:
            raise UserError(
                f"{prepared}: expected clips of real and fake videos in {split}, received "
                f"{int((labels == 0).sum())} real and {int((labels == 1).sum())} fake clips"
            )
