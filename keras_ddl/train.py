"""`python -m keras_ddl.train`: from videos to a run folder; without arguments, from nothing."""

from __future__ import annotations

import argparse
import csv
import io
import logging
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl import config as configs
from keras_ddl.clipspec import ClipSpec
from keras_ddl.config import TrainConfig
from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepare import CACHE, PROCESSES, prepared_for
from keras_ddl.data.pseudo_fakes import with_pseudo_fakes
from keras_ddl.data.store import check_spec, read_split, read_summary
from keras_ddl.data.video_index import SPLITS
from keras_ddl.errors import INTERRUPTED, UserError, run_cli
from keras_ddl.evaluate import score_split, table
from keras_ddl.files import file_sha256, write_json, write_text
from keras_ddl.manifest import manifest
from keras_ddl.plots import plot_curves
from keras_ddl.runs import WEIGHTS, build, finish_run, start_run

if TYPE_CHECKING:
    from keras_ddl.framework import keras

SELECTION = "highest video-level validation AUC; ties: lower validation loss, then earlier epoch"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fitted:
    """A trained network.

    Args:
        model: With the best epoch's weights.
        history: Per quantity its value at each epoch.
        best_epoch: From 1, chosen on validation.
        seconds: Wall time of the training, validation included.
    """

    model: keras.Model
    history: dict[str, list[float]]
    best_epoch: int
    seconds: float


def fit(config: TrainConfig, prepared: Path, weights: Path, progress: bool = True) -> Fitted:
    """Train a network on prepared clips.

    Seeds Python, NumPy and TensorFlow with `config.seed`.

    Args:
        config: What to train and how.
        prepared: Folder of prepared clips, cut to `config.spec()`.
        weights: File (`.h5`) for the best epoch's weights.
        progress: Show a progress bar and a line per epoch.

    Raises:
        UserError: If a split is empty or has one class, or training diverges.
    """
    from keras_ddl import callbacks as cb
    from keras_ddl.framework import keras, tf
    from keras_ddl.optimiser import make_optimiser

    check_spec(prepared, config.spec())
    _check_classes(prepared, config)
    keras.utils.set_random_seed(config.seed)
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    clips = clip_dataset(
        prepared,
        "train",
        config.batch,
        shuffle_seed=config.seed,
        augment=config.augment(),
        twins=config.twins,
        balance=config.balance,
        pseudo=config.pseudo(),
    )
    model = build(config, precision=config.precision)
    model.compile(
        optimizer=make_optimiser(config),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=config.xla,
    )
    best = cb.BestWeights(weights)
    bar = cb.TrainingBar(config.epochs, progress)
    averages = cb.AveragedWeights()
    watchers = [
        keras.callbacks.LearningRateScheduler(lambda epoch: learning_rate(config, epoch)),
        averages,
        cb.VideoAUC(prepared, config.batch, pseudo=config.pseudo()),
        best,
        cb.GammaLog(),
        averages.back,
        bar,
    ]
    started = time.monotonic()
    try:
        history = model.fit(clips, epochs=config.epochs, callbacks=watchers, verbose=0).history
    finally:
        bar.close()
    model.load_weights(str(weights))
    rows = {name: [float(v) for v in values] for name, values in history.items()}
    return Fitted(model, rows, best.best_epoch, time.monotonic() - started)


def learning_rate(config: TrainConfig, epoch: int) -> float:
    """Return the learning rate of an epoch, from 0: halved every `halve_every` epochs."""
    halvings = epoch // config.halve_every if config.halve_every else 0
    return config.learning_rate * 0.5**halvings


def train(config: TrainConfig, prepared: Path, run: Path, progress: bool = True) -> dict[str, Any]:
    """Train and fill a run folder that `runs.start_run` made; `latest` then points to it.

    Returns:
        What `metrics.json` holds: validation results of the selected epoch, γ, times, sizes.
    """
    from keras_ddl.callbacks import gammas

    fingerprint = read_summary(prepared)["fingerprint"]
    data = {"prepared": str(Path(prepared).resolve()), "fingerprint": fingerprint}
    write_json(run / "config.json", {"config": config.to_dict(), "data": data})
    described = manifest(prepared, config.seed, config.deterministic)
    write_json(run / "manifest.json", described)
    fitted = fit(config, prepared, run / WEIGHTS, progress)
    spec = ClipSpec.read(prepared / "clipspec.json")
    _, validation = score_split(fitted.model, spec, prepared, "val", config.pseudo())
    metrics = {
        "validation": validation,
        "selection": SELECTION,
        "best_epoch": fitted.best_epoch,
        "gamma": gammas(fitted.model),
        "parameters": fitted.model.count_params(),
        "training_seconds": round(fitted.seconds, 1),
    }
    write_json(run / "metrics.json", metrics)
    write_json(
        run / "manifest.json", {**described, "training_seconds": metrics["training_seconds"]}
    )
    write_json(run / "history.json", fitted.history)
    write_text(run / "history.csv", _csv(fitted.history))
    plot_curves(fitted.history, fitted.best_epoch, run / "curves.png")
    _write_spec(run, config, prepared, metrics)
    finish_run(run)
    return metrics


def synthetic_root(config: TrainConfig, cache: Path) -> Path:
    """Generate the synthetic set a configuration names, where it is not there yet."""
    from keras_ddl.data.synthetic import generate

    counts = "-".join(map(str, config.synthetic_videos))
    name = f"synthetic-{counts}-d{config.synthetic_difficulty:g}-s{config.synthetic_seed}"
    return generate(
        cache / name,
        identities=dict(zip(SPLITS, config.synthetic_videos, strict=True)),
        difficulty=config.synthetic_difficulty,
        seed=config.synthetic_seed,
        processes=PROCESSES,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_ddl.train",
        description="Train on a dataset; without --data, on a synthetic set generated first.",
    )
    configs.add_arguments(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=Path, metavar="ROOT", help="folder of a dataset")
    source.add_argument("--prepared", type=Path, metavar="DIR", help="prepared clips")
    parser.add_argument("--layout", choices=sorted(LAYOUTS), default="folder", help="of --data")
    parser.add_argument("--out", type=Path, metavar="DIR", help="run folder; default runs/<time>")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    config = configs.from_arguments(args)
    prepared = args.prepared
    if prepared is None:
        root = args.data or synthetic_root(config, CACHE)
        prepared = prepared_for(config, root, CACHE, layout=args.layout)
    run = start_run(args.out)
    try:
        metrics = train(config, prepared, run)
    except KeyboardInterrupt:
        raise UserError(f"interrupted; {run} stays, marked incomplete", INTERRUPTED) from None
    print(f"selected epoch {metrics['best_epoch']} of {config.epochs} ({SELECTION})")
    print(table(metrics["validation"]))
    for name, value in metrics["gamma"].items():
        print(f"γ {name} {value:+.4f}")
    print(f"{metrics['training_seconds']:.0f} s of training; results in {run}")
    return 0


def _check_classes(prepared: Path, config: TrainConfig) -> None:
    for split in ("train", "val"):
        data = read_split(prepared, split)
        labels = (with_pseudo_fakes(data) if config.pseudo_fakes else data).labels
        if len(set(labels.tolist())) < 2:
            raise UserError(
                f"{prepared}: expected clips of real and fake videos in {split}, received "
                f"{int((labels == 0).sum())} real and {int((labels == 1).sum())} fake clips"
            )


def _write_spec(run: Path, config: TrainConfig, prepared: Path, metrics: dict[str, Any]) -> None:
    """Write the spec that the model carries from here on."""
    from keras_ddl.data.synthetic.dataset import is_synthetic

    video = metrics["validation"]["video"]
    root = Path(read_summary(prepared).get("root", ""))
    training = {
        # What a device compares with the footage it sees: see `deploy.verdict`.
        "dataset": "synthetic" if is_synthetic(root) else root.name,
        "backbone": config.backbone,
        "modules": list(config.modules),
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


def _csv(history: dict[str, list[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("epoch", *history))
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow((epoch, *values))
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
