"""`python -m keras_ddl.compare`: the paper's comparison on anyone's data, resumable."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from keras_ddl.comparison.cell import cells
from keras_ddl.comparison.datasets import Dataset, add_arguments, datasets
from keras_ddl.comparison.entrants import (
    DDL_PRESET,
    NAMES,
    Entrant,
    entrants,
    synthetic_overrides,
)
from keras_ddl.comparison.matrix import Matrix, held
from keras_ddl.comparison.record import PAGE, Comparison
from keras_ddl.comparison.table import summary
from keras_ddl.data.prepare import CACHE
from keras_ddl.datasets import synthetic_root
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.runs import RUNS
from keras_ddl.presets import PRESETS

OUT = RUNS / "compare"
SMALLER = "--ddl-preset cpu --set size=96 frames=8 width=0.25 weights= frozen_epochs=0 epochs=9"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.compare",
        description="Train and judge the paper's methods under one protocol; goes on where it was "
        "stopped. Writes comparison.html, .md and .json, and a run folder per method and dataset. "
        "See docs/comparison.md.",
    )
    add_arguments(parser, parser)
    parser.add_argument(
        "--models",
        nargs="+",
        default=NAMES,
        metavar="NAME",
        help=f"which methods: {', '.join(NAMES)}; default all",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="settings for all methods over their own, as of keras_ddl.train",
    )
    parser.add_argument(
        "--ddl-preset",
        default=DDL_PRESET,
        metavar="NAME",
        help=f"what ddl is trained with: {', '.join(PRESETS)}; default %(default)s",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="short for --set seed=N")
    parser.add_argument("--jobs", type=int, default=1, help="cells at a time, one thread each")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="default %(default)s")
    parser.add_argument("--no-speed", action="store_true", help="leave out ONNX export and clips/s")
    args = parser.parse_args(argv)
    args.overrides += [f"seed={args.seed}"] if args.seed is not None else []
    words = sys.argv[1:] if argv is None else argv
    command = shlex.join(["python", "-m", "keras_ddl.compare", *words])
    return run_cli(lambda: _run(args, command))


def _run(args: argparse.Namespace, command: str) -> int:
    from keras_ddl import framework  # noqa: F401 - a lack is told of before videos are drawn
    from keras_ddl.training.manifest import git_commit

    if args.jobs < 1:
        raise UserError(f"--jobs: expected 1 or more, received {args.jobs}")
    with held(args.out, command) as lock:
        overrides = args.overrides
        if not args.data:
            overrides = synthetic_overrides(overrides, args.ddl_preset)
        chosen = entrants(args.models, overrides, args.ddl_preset)
        found = datasets(args.data, args.layout) if args.data else []
        if not args.overrides:
            _hint()
        found = found or [_synthetic(chosen)]
        record = Comparison(
            out=args.out,
            command=command,
            overrides=overrides,
            datasets=found,
            entrants=chosen,
            cells=cells(found, chosen, args.out),
            git=git_commit(),
        )
        code = Matrix(record, CACHE, not args.no_speed, args.jobs, lock).run()
    print(summary(record.to_dict()))
    print(f"look at {args.out / PAGE}")
    return code


def _synthetic(chosen: Sequence[Entrant]) -> Dataset:
    """Generate the set that all configurations name."""
    config = next(entrant.config for entrant in chosen if not entrant.refusal)
    return datasets([synthetic_root(config, CACHE)], ["folder"])[0]


def _hint() -> None:
    """Say what full size means where there is no GPU."""
    from keras_ddl.framework import tf

    if not tf.config.list_physical_devices("GPU"):
        print(
            f"no GPU: at their own sizes these are long trainings; to see it work: {SMALLER}",
            file=sys.stderr,
        )


if __name__ == "__main__":
    sys.exit(main())
