"""`python -m keras_ddl.train`: from videos to a run folder; without arguments, from nothing."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_ddl import config as configs
from keras_ddl.config import TrainConfig
from keras_ddl.data.layouts import add_arguments, check_arguments
from keras_ddl.data.prepare import CACHE
from keras_ddl.data.prepared import read_summary
from keras_ddl.data.shards.stored_set import prepared_here
from keras_ddl.datasets import prepared_for, synthetic_root
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import INTERRUPTED, Parser, UserError, run_cli
from keras_ddl.edge.files import read_json
from keras_ddl.edge.runs import CONFIG, find_unfinished, start_run
from keras_ddl.edge.storage.address import place
from keras_ddl.edge.storage.random_reads import refusals_told
from keras_ddl.evaluation.results import SplitResult
from keras_ddl.evaluation.tables import table
from keras_ddl.training.begin import begin
from keras_ddl.training.devices import open_devices
from keras_ddl.training.options import CHECKPOINT_STEPS, TrainingOptions
from keras_ddl.training.run import train

NEWEST = Path("newest")

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.train",
        description="Train on a dataset; without --data, on a synthetic set generated first.",
    )
    configs.add_arguments(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--data", type=place, metavar="ROOT", help="folder of a dataset")
    source.add_argument(
        "--prepared", type=place, metavar="DIR", help="prepared clips; also s3://… of them"
    )
    add_arguments(parser, "--data")
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
    parser.add_argument("--seed", type=int, metavar="N", help="short for --set seed=N")
    parser.add_argument(
        "--deterministic", action="store_true", help="short for --set deterministic=true"
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
    parser.add_argument("--mlflow", action="store_true", help="log to MLflow too")
    args = parser.parse_args(argv)
    args.overrides += [f"seed={args.seed}"] if args.seed is not None else []
    args.overrides += ["deterministic=true"] if args.deterministic else []
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.checkpoint_every < 0:
        raise UserError(
            f"--checkpoint-every: expected 0 or more steps, received {args.checkpoint_every}"
        )
    if args.previous and not args.resume:
        raise UserError("--previous: expected --resume DIR with it, received none")
    check_arguments(args)
    _choose_kernels(args)
    from keras_ddl.framework import need_keras_2  # says that TensorFlow is missing before any work
    from keras_ddl.training.mlflow_run import check_mlflow

    need_keras_2("training")
    if args.mlflow:
        check_mlflow()

    config, prepared, run = _asked(args)
    if args.find_batch:
        from keras_ddl.training.find_batch import report

        print(report(config, prepared, args.strategy, args.memory_limit))
        return 0
    options = TrainingOptions(
        devices=open_devices(args.strategy),
        checkpoint_every=args.checkpoint_every,
        previous=args.previous,
        profile=args.profile,
        mlflow=args.mlflow,
    )
    devices = options.devices
    if devices.workers > 1 and not (args.prepared and run):
        raise UserError(
            "several workers: expected --prepared DIR and --resume DIR, both on storage that all "
            f"of them reach; make the clips with: {typed('prepare')}"
        )
    if devices.chief and not (run and (run / CONFIG).is_file()):
        run = start_run(run)
    try:
        with refusals_told():
            config = begin(config, prepared, run, options)
            metrics = train(config, prepared, run, options)
    except KeyboardInterrupt:
        raise UserError(
            f"interrupted; go on with: {typed('train')} --resume {run}", INTERRUPTED
        ) from None
    if devices.chief:
        print(_summary(config, metrics, run))
    return 0


def _choose_kernels(args: argparse.Namespace) -> None:
    """Switch oneDNN's operations on, before TensorFlow is imported.

    TensorFlow leaves them out on processors without AVX-512, where they make a training step
    faster. Two processes need not agree in their last bits, so that a deterministic training
    does without.
    """
    run = find_unfinished() if args.resume == NEWEST else args.resume
    if run is not None and (run / CONFIG).is_file():
        deterministic = TrainConfig.from_dict(read_json(run / CONFIG)["config"]).deterministic
    else:
        deterministic = configs.from_arguments(args).deterministic
    if not deterministic and "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def _asked(args: argparse.Namespace) -> tuple[TrainConfig, Path, Path | None]:
    """Configuration, clips and run folder: those of an unfinished run, or new ones."""
    run = find_unfinished() if args.resume == NEWEST else args.resume
    if run is not None and (run / CONFIG).is_file():
        return _resumed(args, find_unfinished(run))
    config = configs.from_arguments(args)
    prepared = None if args.prepared is None else prepared_here(args.prepared)
    if prepared is None:
        root = args.data or synthetic_root(config, CACHE)
        prepared = prepared_for(config, root, CACHE, args.layout, args.identity)
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
    prepared = prepared_here(args.prepared or kept["data"]["prepared"])
    if read_summary(prepared)["fingerprint"] != kept["data"]["fingerprint"]:
        raise UserError(
            f"{prepared} has changed since {run} was begun; begin anew with --out DIR, or name "
            "the clips it was begun with: --prepared DIR"
        )
    _log.info("going on with %s", run)
    return config, prepared, run


def _summary(config: TrainConfig, metrics: dict[str, Any], run: Path) -> str:
    sizes = [f"γ {name} {value:+.4f}" for name, value in metrics["gamma"].items()]
    lines = [
        f"selected epoch {metrics['best_epoch']} of {config.epochs} ({metrics['selection']})",
        table(SplitResult.from_json(metrics["validation"])),
        *sizes,
        f"{metrics['training_seconds']:.0f} s of training; results in {run}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
