"""A training from beginning to end: what `python -m keras_ddl.train` leaves in a run folder."""

from __future__ import annotations

import hashlib
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_summary
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.files import file_sha256, write_json
from keras_ddl.evaluate import score_split
from keras_ddl.model_card import write_model_card
from keras_ddl.report.curves import plot_curves
from keras_ddl.runs import CONFIG, WEIGHTS, finish_run

if TYPE_CHECKING:
    from keras_ddl.framework import keras
    from keras_ddl.training.fit import Fitted
    from keras_ddl.training.strategy import Place

CHECKPOINT_STEPS = 500

_log = logging.getLogger(__name__)


def train(
    config: TrainConfig,
    prepared: Path,
    run: Path,
    progress: bool = True,
    *,
    place: Place | None = None,
    every: int = CHECKPOINT_STEPS,
    previous: bool = False,
    watchers: Sequence[keras.callbacks.Callback] = (),
    profile: bool = False,
) -> dict[str, Any]:
    """Train and fill a run folder that `runs.start_run` made; `latest` then points to it.

    Goes on from the newest checkpoint in it, if there is any.

    Args:
        config: What to train and how.
        prepared: Folder of prepared clips.
        run: The run folder; the same on all workers.
        progress: Show a progress bar and a line per epoch.
        place: Where to train; default: one device.
        every: Steps between checkpoints within an epoch; 0 = after epochs only.
        previous: Go on from the newest checkpoint but one.
        watchers: More callbacks, which see the weights that are judged.
        profile: Trace some steps for TensorBoard and say what cost most.

    Returns:
        What `metrics.json` holds: validation results of the selected epoch, γ, times, sizes.
    """
    from keras_ddl.training.strategy import Place

    place = place or Place()
    how = _How(progress and place.chief, place, every, previous, tuple(watchers), profile)
    if not place.chief:  # it computes what the chief computes, and keeps nothing
        with tempfile.TemporaryDirectory(prefix="keras-ddl-worker-") as aside:
            return _fill(config, prepared, Path(aside), run, how)
    metrics = _fill(config, prepared, run, run, how)
    finish_run(run)
    return metrics


@dataclass(frozen=True)
class _How:
    """The arguments of `train` that are not what is trained."""

    progress: bool
    place: Place
    every: int
    previous: bool
    watchers: tuple[keras.callbacks.Callback, ...]
    profile: bool


def _fill(
    config: TrainConfig, prepared: Path, run: Path, shared: Path, how: _How
) -> dict[str, Any]:
    """Train and write all that a run folder holds; checkpoints lie in the one workers share."""
    from keras_ddl.evaluation.hardest import WRONG_VIDEOS
    from keras_ddl.training.callbacks.wrong_videos import WrongVideos
    from keras_ddl.training.checkpoint import Checkpoints
    from keras_ddl.training.fit import fit
    from keras_ddl.training.manifest import manifest

    place = how.place
    described = manifest(config, prepared, place)
    write_json(run / CONFIG, {"config": config.to_dict(), "data": _data(prepared)})
    write_json(run / "manifest.json", described)
    more = _watchers(config, prepared, run, how)
    fitted = fit(
        config,
        prepared,
        run / WEIGHTS,
        how.progress,
        place=place,
        checkpoints=Checkpoints(shared, place.chief),
        every=how.every,
        previous=how.previous,
        watchers=lambda validation: [WrongVideos(run / WRONG_VIDEOS, validation), *more],
    )
    metrics = _metrics(config, prepared, fitted)
    write_json(run / "metrics.json", metrics)
    spent = {"training_seconds": metrics["training_seconds"], "energy_joules": fitted.joules}
    write_json(run / "manifest.json", {**described, **spent})
    write_json(run / "history.json", fitted.history)
    plot_curves(fitted.history, fitted.best_epoch, run / "curves.png")
    _write_spec(run, config, prepared, metrics)
    write_model_card(run)
    if place.workers > 1:  # the same line on every worker, or something is wrong
        _log.info("worker %d of %d: weights %s", place.worker, place.workers, _digest(fitted.model))
    return metrics


def _watchers(
    config: TrainConfig, prepared: Path, run: Path, how: _How
) -> list[keras.callbacks.Callback]:
    """What writes into the run folder while it trains."""
    from keras_ddl.training.callbacks.history_csv import HISTORY_CSV, HistoryCsv
    from keras_ddl.training.callbacks.profile import ProfileSteps
    from keras_ddl.training.callbacks.tensorboard import FOLDER, tensorboard_logs

    return [
        HistoryCsv(run / HISTORY_CSV),
        *tensorboard_logs(run, prepared, how.place, config.pseudo()),
        *([ProfileSteps(run / FOLDER)] if how.profile and how.place.chief else []),
        *how.watchers,
    ]


def _metrics(config: TrainConfig, prepared: Path, fitted: Fitted) -> dict[str, Any]:
    from keras_ddl.training.callbacks.best_weights import SELECTION
    from keras_ddl.training.callbacks.gammas import gammas

    spec = ClipSpec.read(prepared / "clipspec.json")
    _, validation = score_split(fitted.model, spec, prepared, "val", config.pseudo())
    return {
        "validation": validation,
        "selection": SELECTION,
        "best_epoch": fitted.best_epoch,
        "gamma": gammas(fitted.model),
        "parameters": fitted.model.count_params(),
        "training_seconds": round(fitted.seconds, 1),
    }


def _data(prepared: Path) -> dict[str, str]:
    fingerprint = read_summary(prepared)["fingerprint"]
    return {"prepared": str(Path(prepared).resolve()), "fingerprint": fingerprint}


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
