"""`python -m keras_ddl.ablation`: the paper's two ablation tables on any data, resumable."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from keras_ddl import config as configs
from keras_ddl.comparison.ablation_results import Ablation
from keras_ddl.comparison.cell import cells
from keras_ddl.comparison.datasets import Dataset, add_arguments, datasets
from keras_ddl.comparison.entrants import Entrant
from keras_ddl.comparison.matrix import Matrix, held
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepare import CACHE
from keras_ddl.datasets import synthetic_root
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.runs import RUNS
from keras_ddl.networks.ablations import TITLES, VARIANTS
from keras_ddl.networks.backbones import DEFAULT_SIZES

SEEDS = 3
OUT = RUNS / "ablation"
PRESET = "ablation"


def entrants(
    preset: str, file: Path | None, overrides: Sequence[str], backbones: Sequence[str], seeds: int
) -> list[Entrant]:
    """Return every backbone with every variant and seed, as one configuration with these set.

    Args:
        preset, file, overrides: See `config.load`.
        backbones: The networks that the modules go into.
        seeds: Trainings per variant, with seeds 0, 1, …; the data are the same for all.
    """
    found = []
    for backbone, seed, (variant, modules) in product(backbones, range(seeds), VARIANTS.items()):
        network = f"{backbone}-{variant}"
        title = f"{backbone} {TITLES[variant]}, seed {seed}"
        chosen = (f"backbone={backbone}", f"modules={','.join(modules) or 'none'}", f"seed={seed}")
        name = f"{network}-seed{seed}"
        found.append(Entrant(name, title, network, preset, file, (*overrides, *chosen)))
    return found


def drawn(base: TrainConfig, difficulties: Sequence[float]) -> Iterator[Dataset]:
    """Yield generated sets, drawn where they are not there yet."""
    for difficulty in difficulties:
        config = replace(base, synthetic_difficulty=difficulty)
        (found,) = datasets([synthetic_root(config, CACHE)], ["folder"])
        overrides = (f"synthetic_difficulty={difficulty}",)
        yield replace(found, title=f"d {difficulty:g}", overrides=overrides)


def named(roots: Sequence[Path], layouts: Sequence[str]) -> Iterator[Dataset]:
    """Yield datasets of the user's, each with a title of its own."""
    found = datasets(roots, layouts)
    titles = [dataset.title for dataset in found]
    for dataset in found:
        alone = titles.count(dataset.title) == 1  # two compressions of one dataset are two folders
        title = dataset.title if alone else f"{dataset.title} ({dataset.name})"
        yield replace(dataset, title=title)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.ablation",
        description="Train {none, dfdc, msa, both} × seeds × difficulties; goes on where it was "
        "stopped. Writes table.md, ablation.json, and a run folder per training. See "
        "docs/ablation.md.",
    )
    configs.add_arguments(parser)
    parser.set_defaults(preset=PRESET)
    group = parser.add_argument_group("matrix")
    source = group.add_mutually_exclusive_group()
    add_arguments(group, source)
    source.add_argument(
        "--difficulties", type=float, nargs="+", metavar="D", help="of those; default: preset's"
    )
    group.add_argument(
        "--backbones", nargs="+", default=[], choices=sorted(DEFAULT_SIZES), help="preset's"
    )
    group.add_argument("--seeds", type=int, default=SEEDS, help="default %(default)s")
    group.add_argument("--jobs", type=int, default=1, help="cells at a time, one thread each")
    group.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="default %(default)s")
    args = parser.parse_args(argv)
    words = sys.argv[1:] if argv is None else argv
    command = shlex.join(["python", "-m", "keras_ddl.ablation", *words])
    return run_cli(lambda: _run(args, command))


def _run(args: argparse.Namespace, command: str) -> int:
    from keras_ddl import framework  # noqa: F401 - a lack is told of before videos are drawn
    from keras_ddl.training.manifest import git_commit

    base = configs.from_arguments(args)
    if base.network != configs.DDL:
        raise UserError(
            f"expected a preset of the paper's network, received {base.network}, which has no "
            f"modules to leave out; all methods side by side: {typed('compare')}"
        )
    for name in ("seeds", "jobs"):
        if (given := getattr(args, name)) < 1:
            raise UserError(f"--{name}: expected 1 or more, received {given}")
    with held(args.out, command) as lock:
        if args.data:
            data = list(named(args.data, args.layout))
        else:
            data = list(drawn(base, args.difficulties or [base.synthetic_difficulty]))
        backbones = args.backbones or [base.backbone]
        chosen = entrants(args.preset, args.config, args.overrides, backbones, args.seeds)
        record = Ablation(
            out=args.out,
            command=command,
            git=git_commit(),
            datasets=data,
            entrants=chosen,
            cells=cells(data, chosen, args.out),
        )
        code = Matrix(record, CACHE, speed=False, jobs=args.jobs, lock=lock).run()
    if trained := record.trained():
        print(record.markdown(trained))
    return code


if __name__ == "__main__":
    sys.exit(main())
