"""A training from beginning to end: what `python -m keras_ddl.train` leaves in a run folder."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import ADDRESS, read_summary
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.files import file_sha256, write_json
from keras_ddl.edge.runs import CONFIG, WEIGHTS, finish_run
from keras_ddl.evaluation.hardest import WRONG_VIDEOS
from keras_ddl.evaluation.split_scores import score_split
from keras_ddl.model_card import write_model_card
from keras_ddl.report.curves import plot_curves

if TYPE_CHECKING:
    from keras_ddl.framework import keras
    from keras_ddl.training.callbacks.validation import VideoAUC
    from keras_ddl.training.checkpoint import Checkpoints
    from keras_ddl.training.devices import Devices
    from keras_ddl.training.fit import Fitted
    from keras_ddl.training.options import TrainingOptions

RESTARTS = 3
_COUNT = "KERAS_DDL_RESTARTS"

_log = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    prepared: Path,
    run: Path,
    options: TrainingOptions,
    latest: bool = True,
) -> dict[str, Any]:
    """Train and fill a run folder that `runs.start_run` made; `latest` then points to it.

    Goes on from the newest checkpoint in it, if there is any.

    Args:
        config: What to train and how.
        prepared: Folder of prepared clips.
        run: The run folder; the same on all workers.
        options: How it runs.
        latest: Point `latest` to the run when it is complete.

    Returns:
        What `metrics.json` holds: validation results of the selected epoch, γ, times, sizes.
    """
    from keras_ddl.training.checkpoint import Checkpoints

    checkpoints = Checkpoints(run, options.devices.chief)
    with restart_when_a_worker_is_lost(options.devices, run):
        if not options.devices.chief:  # it computes what the chief computes, and keeps nothing
            with tempfile.TemporaryDirectory(prefix="keras-ddl-worker-") as aside:
                return _fill(config, prepared, Path(aside), checkpoints, options)
        metrics = _fill(config, prepared, run, checkpoints, options)
        finish_run(run, latest)
    return metrics


def _fill(
    config: TrainConfig,
    prepared: Path,
    run: Path,
    checkpoints: Checkpoints,
    options: TrainingOptions,
) -> dict[str, Any]:
    """Train and write all that a run folder holds."""
    from keras_ddl.training.callbacks.validation import VideoAUC
    from keras_ddl.training.fit import fit
    from keras_ddl.training.manifest import manifest

    devices = options.devices
    described = manifest(config, prepared, devices)
    write_config(run, config, prepared)
    write_json(run / "manifest.json", described)
    validation = VideoAUC(config, prepared, devices)
    with _logging(config, prepared, run, validation, options) as callbacks:
        fitted = fit(
            config,
            prepared,
            run / WEIGHTS,
            options,
            checkpoints=checkpoints,
            validation=validation,
            callbacks=callbacks,
        )
    metrics = _metrics(config, prepared, fitted)
    write_json(run / "metrics.json", metrics)
    spent = {"training_seconds": metrics["training_seconds"], "energy_joules": fitted.joules}
    write_json(run / "manifest.json", {**described, **spent})
    write_json(run / "history.json", fitted.history)
    plot_curves(fitted.history, fitted.best_epoch, run / "curves.png")
    _write_spec(run, config, prepared, metrics)
    write_model_card(run)
    if devices.workers > 1:  # the same line on every worker, or something is wrong
        digest = _digest(fitted.model)
        _log.info("worker %d of %d: weights %s", devices.worker, devices.workers, digest)
    return metrics


@contextmanager
def _logging(
    config: TrainConfig,
    prepared: Path,
    run: Path,
    validation: VideoAUC,
    options: TrainingOptions,
) -> Iterator[list[keras.callbacks.Callback]]:
    """Yield the callbacks that log into the run folder, and to MLflow, while it trains."""
    from keras_ddl.training.callbacks.history_csv import HISTORY_CSV, HistoryCsv
    from keras_ddl.training.callbacks.profile import ProfileSteps
    from keras_ddl.training.callbacks.tensorboard import FOLDER, tensorboard_logs
    from keras_ddl.training.callbacks.wrong_videos import WrongVideos
    from keras_ddl.training.mlflow_run import mlflow_run

    devices = options.devices
    callbacks = [
        WrongVideos(run / WRONG_VIDEOS, validation),
        HistoryCsv(run / HISTORY_CSV),
        *tensorboard_logs(run, prepared, devices, config.pseudo_fakes, config.single_frames),
    ]
    if options.profile and devices.chief:
        callbacks.append(ProfileSteps(run / FOLDER))
    to_mlflow = options.mlflow and devices.chief
    with mlflow_run(run.name, config) if to_mlflow else nullcontext([]) as more:
        yield [*callbacks, *more]


def _metrics(config: TrainConfig, prepared: Path, fitted: Fitted) -> dict[str, Any]:
    from keras_ddl.training.callbacks.best_weights import SELECTIONS
    from keras_ddl.training.callbacks.gammas import gammas

    spec = ClipSpec.read(prepared / "clipspec.json")
    _, validation = score_split(fitted.model, spec, prepared, "val", config.pseudo_fakes)
    return {
        "validation": validation,
        "selection": SELECTIONS[config.selection],
        "best_epoch": fitted.best_epoch,
        "gamma": gammas(fitted.model),
        "parameters": fitted.model.count_params(),
        "training_seconds": round(fitted.seconds, 1),
    }


def write_config(run: Path, config: TrainConfig, prepared: Path) -> None:
    """Write down what a run trains and on which clips: what `--resume` goes by."""
    summary = read_summary(prepared)
    place = summary.get(ADDRESS) or str(Path(prepared).resolve())
    data = {"prepared": place, "fingerprint": summary["fingerprint"]}
    write_json(run / CONFIG, {"config": config.to_dict(), "data": data})


def _write_spec(run: Path, config: TrainConfig, prepared: Path, metrics: dict[str, Any]) -> None:
    """Write the spec that the model carries from here on."""
    from keras_ddl.data.synthetic.dataset import is_synthetic

    video = metrics["validation"]["video"]
    root = Path(read_summary(prepared).get("root", ""))
    training = {
        # What a device compares with the footage it sees: see `deploy.judging.verdict`.
        "dataset": "synthetic" if is_synthetic(root) else root.name,
        "network": config.described(),
        "preset": config.preset,
        "seed": config.seed,
        "data_fingerprint": read_summary(prepared)["fingerprint"],
        "best_epoch": metrics["best_epoch"],
    }
    measured = {
        "validation_video_auc": video["auc"],
        "validation_video_accuracy": video["accuracy"],
    }
    spec = ClipSpec.read(prepared / "clipspec.json").replace(
        training=training, metrics=measured, weights_sha256=file_sha256(run / WEIGHTS)
    )
    spec.write(run / "clipspec.json")


def _digest(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for values in model.get_weights():
        digest.update(values.tobytes())
    return digest.hexdigest()


@contextmanager
def restart_when_a_worker_is_lost(devices: Devices, run: Path) -> Iterator[None]:
    """Replace this process by one that goes on with the run, where another worker is lost.

    TensorFlow's collective operations fail on all workers when one dies, and cannot be joined again
    by the same process. The fresh process of the same command waits until the lost worker has been
    started again.

    Args:
        devices: That train; where all are of one worker, nothing is done.
        run: The run folder.

    Raises:
        UserError: After `RESTARTS` such losses.
    """
    from keras_ddl.framework import tf

    try:
        yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
        if devices.workers == 1:
            raise
        count = int(os.environ.get(_COUNT, "0"))
        if count >= RESTARTS:
            raise UserError(
                f"a worker was lost for the {count + 1}th time; look at its output, then start all "
                f"of them again with --resume {run}",
                CHECK_FAILED,
            ) from error
        _log.warning("a worker was lost; waiting for it, to go on from the last checkpoint")
        command = resuming(sys.orig_argv, run)
        os.execve(sys.executable, command, {**os.environ, _COUNT: str(count + 1)})


def resuming(command: list[str], run: Path) -> list[str]:
    """The same command, going on with a run instead of beginning one."""
    kept, skip = [], False
    for word in command:
        if skip:
            skip = False
        elif word in ("--out", "--resume"):
            skip = True
        elif word != "--previous" and not word.startswith(("--out=", "--resume=")):
            kept.append(word)
    return [*kept, "--resume", str(run)]
