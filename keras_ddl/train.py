"""`python -m keras_ddl.train`: from videos to a run folder; without arguments, from nothing."""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import logging
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl import config as configs
from keras_ddl.clipspec import ClipSpec
from keras_ddl.config import TrainConfig
from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.prepare import CACHE, PROCESSES, prepared_for
from keras_ddl.data.store import read_summary
from keras_ddl.data.video_index import SPLITS
from keras_ddl.errors import INTERRUPTED, UserError, run_cli
from keras_ddl.evaluate import score_split, table
from keras_ddl.files import file_sha256, read_json, write_json, write_text
from keras_ddl.plots import plot_curves
from keras_ddl.runs import CONFIG, WEIGHTS, find_unfinished, finish_run, start_run

if TYPE_CHECKING:
    from keras_ddl.framework import keras
    from keras_ddl.training.place import Place

CHECKPOINT_STEPS = 500
NEWEST = Path("newest")

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
        profile: Trace some steps for TensorBoard and say what cost most.

    Returns:
        What `metrics.json` holds: validation results of the selected epoch, γ, times, sizes.
    """
    from keras_ddl.training.best_weights import SELECTION
    from keras_ddl.training.checkpoint import Checkpoints
    from keras_ddl.training.fit import fit
    from keras_ddl.training.gammas import gammas
    from keras_ddl.training.manifest import manifest
    from keras_ddl.training.place import Place
    from keras_ddl.training.profile import ProfileSteps
    from keras_ddl.training.wrong_videos import WRONG_VIDEOS, WrongVideos

    place = place or Place()
    shared = run
    if not place.chief:  # it computes what the chief computes, and keeps nothing
        run = Path(tempfile.mkdtemp(prefix="keras-ddl-worker-"))
    described = manifest(config, prepared, place)
    write_json(run / CONFIG, {"config": config.to_dict(), "data": _data(prepared)})
    write_json(run / "manifest.json", described)
    profiles = [ProfileSteps(run / "tensorboard")] if profile and place.chief else []
    fitted = fit(
        config,
        prepared,
        run / WEIGHTS,
        progress and place.chief,
        place=place,
        checkpoints=Checkpoints(shared, place.chief),
        every=every,
        previous=previous,
        watchers=lambda validation: [WrongVideos(run / WRONG_VIDEOS, validation), *profiles],
    )
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
    if place.workers > 1:  # the same line on every worker, or something is wrong
        _log.info("worker %d of %d: weights %s", place.worker, place.workers, _digest(fitted.model))
    if place.chief:
        finish_run(run)
    return metrics


def _data(prepared: Path) -> dict[str, str]:
    fingerprint = read_summary(prepared)["fingerprint"]
    return {"prepared": str(Path(prepared).resolve()), "fingerprint": fingerprint}


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
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=Path, metavar="DIR", help="run folder; default runs/<time>")
    where.add_argument(
        "--resume",
        type=Path,
        nargs="?",
        const=NEWEST,
        metavar="DIR",
        help="go on with an unfinished run, default the newest; a DIR not there yet is begun",
    )
    where.add_argument(
        "--find-batch", action="store_true", help="train nothing; find the largest batch that fits"
    )
    parser.add_argument(
        "--memory-limit",
        type=float,
        default=0,
        metavar="MIB",
        help="of --find-batch: as if there were so much; default: what there is",
    )
    parser.add_argument(
        "--previous", action="store_true", help="go on from the newest checkpoint but one"
    )
    parser.add_argument(
        "--checkpoint-every",
        type=int,
        default=CHECKPOINT_STEPS,
        metavar="STEPS",
        help="besides those after epochs; 0 = none; default %(default)s",
    )
    parser.add_argument(
        "--profile", action="store_true", help="trace some steps; say what costs most"
    )
    parser.add_argument(
        "--strategy",
        default="auto",
        metavar="NAME",
        help="auto, none, mirrored, multiworker or tpu; auto takes what it finds",
    )
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    config, prepared, run = _asked(args)
    if args.find_batch:
        from keras_ddl.training.find_batch import report

        print(report(config, prepared, args.strategy, args.memory_limit))
        return 0
    from keras_ddl.training.place import open_place
    from keras_ddl.training.restart import restart_when_a_worker_is_lost

    place = open_place(args.strategy)
    if place.workers > 1 and not (args.prepared and run):
        raise UserError(
            "several workers: expected --prepared DIR and --resume DIR, both on storage that all "
            "of them reach; make the clips with: python -m keras_ddl.data.prepare"
        )
    if place.chief and not (run and (run / CONFIG).is_file()):
        run = start_run(run)
    try:
        with restart_when_a_worker_is_lost(place, run):
            metrics = train(
                config,
                prepared,
                run,
                place=place,
                every=args.checkpoint_every,
                previous=args.previous,
                profile=args.profile,
            )
    except KeyboardInterrupt:
        raise UserError(
            f"interrupted; go on with: python -m keras_ddl.train --resume {run}", INTERRUPTED
        ) from None
    if place.chief:
        print(_summary(config, metrics, run))
    return 0


def _asked(args: argparse.Namespace) -> tuple[TrainConfig, Path, Path | None]:
    """Configuration, clips and run folder: those of an unfinished run, or new ones."""
    run = find_unfinished() if args.resume == NEWEST else args.resume
    if run is not None and (run / CONFIG).is_file():
        return _resumed(args, find_unfinished(run))
    config = configs.from_arguments(args)
    prepared = args.prepared
    if prepared is None:
        root = args.data or synthetic_root(config, CACHE)
        prepared = prepared_for(config, root, CACHE, layout=args.layout)
    return config, prepared, run or args.out


def _resumed(args: argparse.Namespace, run: Path) -> tuple[TrainConfig, Path, Path]:
    kept = read_json(run / CONFIG)
    config = TrainConfig.from_dict(kept["config"])
    if args.overrides or args.config or args.preset != configs.DEFAULT_PRESET:
        now, then = configs.from_arguments(args).to_dict(), config.to_dict()
        changed = [f"{key} {then[key]} → {now[key]}" for key in now if now[key] != then[key]]
        if changed:
            raise UserError(
                f"{run} was begun with another configuration: {', '.join(changed)}; go on as it "
                f"was with --resume {run} alone, or begin anew with --out DIR"
            )
    prepared = args.prepared or Path(kept["data"]["prepared"])
    if read_summary(prepared)["fingerprint"] != kept["data"]["fingerprint"]:
        raise UserError(
            f"{prepared} has changed since {run} was begun; begin anew with --out DIR, or name "
            "the clips it was begun with: --prepared DIR"
        )
    _log.info("going on with %s", run)
    return config, prepared, run


def _summary(config: TrainConfig, metrics: dict[str, Any], run: Path) -> str:
    lines = [
        f"selected epoch {metrics['best_epoch']} of {config.epochs} ({metrics['selection']})",
        table(metrics["validation"]),
        *(f"γ {name} {value:+.4f}" for name, value in metrics["gamma"].items()),
        f"{metrics['training_seconds']:.0f} s of training; results in {run}",
    ]
    return "\n".join(lines)


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


def _digest(model: keras.Model) -> str:
    digest = hashlib.sha256()
    for values in model.get_weights():
        digest.update(values.tobytes())
    return digest.hexdigest()


def _csv(history: dict[str, list[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("epoch", *history))
    for epoch, values in enumerate(zip(*history.values(), strict=True), start=1):
        writer.writerow((epoch, *values))
    return text.getvalue()


if __name__ == "__main__":
    sys.exit(main())
