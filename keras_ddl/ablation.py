"""`python -m keras_ddl.ablation`: the paper's two ablation tables on any data, resumable."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl import config as configs
from keras_ddl.comparison.ablation_table import VARIANTS, table
from keras_ddl.comparison.datasets import datasets
from keras_ddl.config import TrainConfig
from keras_ddl.data.layouts import LAYOUTS
from keras_ddl.data.prepare import CACHE
from keras_ddl.data.prepared import read_summary
from keras_ddl.datasets import prepared_for, synthetic_root
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.files import read_json, write_json, write_text
from keras_ddl.edge.process_pool import unordered_map
from keras_ddl.evaluation.breakdown import DATASET, METHOD
from keras_ddl.networks.backbones import DEFAULT_SIZES
from keras_ddl.runs import RUNS

if TYPE_CHECKING:
    from keras_ddl.evaluation.clip_scores import Scores

SEEDS = 3
OUT = RUNS / "ablation"
PRESET = "ablation"
SUMMARY = "ablation.json"


@dataclass(frozen=True)
class Data:
    """One dataset of the matrix.

    Args:
        name: What tables call it.
        root: Its folder.
        layout: How it lies; a name in `LAYOUTS`.
        config: The base configuration, with the synthetic set's difficulty where it is one.
    """

    name: str
    root: Path
    layout: str
    config: TrainConfig


@dataclass(frozen=True)
class Cell:
    """One training of the matrix.

    Args:
        dataset: What tables call its data.
        variant: A key of `VARIANTS`.
        config: Everything about the training, seed and difficulty included.
        prepared: Folder of the prepared clips.
        file: Where the cell's result is kept.
    """

    dataset: str
    variant: str
    config: TrainConfig
    prepared: Path
    file: Path

    def identity(self) -> dict[str, Any]:
        """Return what a stored result must agree with to be taken for this cell's."""
        fingerprint = read_summary(self.prepared)["fingerprint"]
        return {"config": self.config.to_dict(), "fingerprint": fingerprint}

    def stored(self) -> dict[str, Any] | None:
        """Return the finished result, or None where there is none or it is another's."""
        if not self.file.is_file():
            return None
        result = read_json(self.file)
        return result if result["cell"] == self.identity() else None


def synthetic(base: TrainConfig, difficulties: Sequence[float], cache: Path) -> Iterator[Data]:
    """Yield generated sets, drawn where they are not there yet."""
    for difficulty in difficulties:
        config = replace(base, synthetic_difficulty=difficulty)
        yield Data(f"d {difficulty:g}", synthetic_root(config, cache), "folder", config)


def named(base: TrainConfig, roots: Sequence[Path], layouts: Sequence[str]) -> Iterator[Data]:
    """Yield datasets of the user's; see `comparison.datasets` for what is refused."""
    all_found = datasets(roots, layouts)
    titles = [found.title for found in all_found]
    for found in all_found:
        alone = titles.count(found.title) == 1  # two compressions of one dataset are two folders
        name = found.title if alone else f"{found.title} ({found.name})"
        yield Data(name, found.root, found.layout, base)


def cells(
    data: Iterable[Data], backbones: Sequence[str], seeds: int, cache: Path, out: Path
) -> Iterator[Cell]:
    """Yield the matrix; prepares each set where that is not done.

    Args:
        data: The datasets.
        backbones: The networks that the modules go into; none is the configuration's own.
        seeds: Trainings per variant, with seeds 0, 1, …; the data are the same for all.
        cache: Folder of prepared sets.
        out: Folder of the results.
    """
    for part in data:
        prepared = prepared_for(part.config, part.root, cache, layout=part.layout)
        short = re.sub(r"[^A-Za-z0-9.]+", "", part.name)
        for backbone in backbones or [part.config.backbone]:
            for seed in range(seeds):
                for variant, modules in VARIANTS.items():
                    config = replace(part.config, backbone=backbone, modules=modules, seed=seed)
                    name = f"{short}-{backbone}-{variant}-seed{seed}.json"
                    yield Cell(part.name, variant, config, prepared, out / "cells" / name)


def run_cell(cell: Cell) -> dict[str, Any]:
    """Train, select on validation, score the test split; write the cell's file and return it."""
    from keras_ddl.edge.clipspec import ClipSpec
    from keras_ddl.evaluate import score_split
    from keras_ddl.framework import keras
    from keras_ddl.training.fit import fit

    keras.backend.clear_session()
    cell.file.parent.mkdir(parents=True, exist_ok=True)
    weights = cell.file.with_suffix(".h5")
    fitted = fit(cell.config, cell.prepared, weights, progress=False)
    weights.unlink()  # not a temporary file: a killed cell's is written over by the next call
    spec = ClipSpec.read(cell.prepared / "clipspec.json")
    scores, test = score_split(fitted.model, spec, cell.prepared, "test")
    result = {
        "cell": cell.identity(),
        "dataset": cell.dataset,
        "datasets": sorted({key[DATASET] for key in scores.keys}),
        "backbone": cell.config.backbone,
        "variant": cell.variant,
        "best_epoch": fitted.best_epoch,
        "validation_video_auc": fitted.history["val_video_auc"][fitted.best_epoch - 1],
        "test": test,
        "methods": _methods(scores, spec.threshold),
        "seconds": round(fitted.seconds, 1),
        "parameters": fitted.model.count_params(),
    }
    write_json(cell.file, result)
    return result


def _methods(scores: Scores, threshold: float) -> dict[str, dict[str, float]]:
    """Each method's fakes against the reals of its compression, videos; compressions pooled."""
    from keras_ddl.edge.metrics import report

    found: dict[str, dict[str, float]] = {}
    column = np.array([key[METHOD] for key in scores.keys], dtype=object)
    real = scores.labels == 0
    for method in dict.fromkeys(column[~real]):
        videos = scores.of(real | (column == method)).videos()
        if len(set(videos.labels.tolist())) == 2:
            numbers = report(videos.labels, videos.probabilities, threshold)
            found[method] = {name: numbers[name] for name in ("accuracy", "auc")}
    return found


def run_matrix(
    matrix: Sequence[Cell], jobs: int = 1, progress: bool = True
) -> list[dict[str, Any]]:
    """Run the cells that have no result yet; return all results in the matrix's order.

    Args:
        matrix: The cells.
        jobs: Cells at a time; more than one run in processes with one compute thread each.
        progress: Show one bar over the matrix.
    """
    from tqdm import tqdm

    missing = [cell for cell in matrix if cell.stored() is None]
    done = len(matrix) - len(missing)
    with tqdm(
        total=len(matrix), initial=done, desc="ablation", unit="cell", disable=not progress
    ) as bar:
        for result in _results(missing, jobs):
            auc = result["test"]["video"]["auc"]
            bar.set_postfix_str(f"{result['variant']}: test video AUC {auc:.3f}", refresh=False)
            bar.update()
    return [read_json(cell.file) for cell in matrix]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.ablation",
        description="Train {none, dfdc, msa, both} × seeds × difficulties; keeps finished cells.",
    )
    configs.add_arguments(parser)
    parser.set_defaults(preset=PRESET)
    group = parser.add_argument_group("matrix")
    source = group.add_mutually_exclusive_group()
    source.add_argument(
        "--data", type=Path, nargs="+", metavar="ROOT", help="datasets; default: generated ones"
    )
    source.add_argument(
        "--difficulties", type=float, nargs="+", metavar="D", help="of those; default: preset's"
    )
    group.add_argument(
        "--layout",
        nargs="+",
        choices=sorted(LAYOUTS),
        default=["folder"],
        help="of --data: one for all or one each; default folder",
    )
    group.add_argument(
        "--backbones", nargs="+", default=[], choices=sorted(DEFAULT_SIZES), help="preset's"
    )
    group.add_argument("--seeds", type=int, default=SEEDS, help="default %(default)s")
    group.add_argument("--jobs", type=int, default=1, help="cells at a time, one thread each")
    group.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="default %(default)s")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from keras_ddl import framework  # noqa: F401 - a lack is told of before videos are drawn

    base = configs.from_arguments(args)
    if base.network != configs.DDL:
        raise UserError(
            f"expected a preset of the paper's network, received {base.network}, which has no "
            "modules to leave out; all methods side by side: python -m keras_ddl.compare"
        )
    if args.data:
        data = named(base, args.data, args.layout)
    else:
        data = synthetic(base, args.difficulties or [base.synthetic_difficulty], CACHE)
    matrix = list(cells(data, args.backbones, args.seeds, CACHE, args.out))
    results = run_matrix(matrix, args.jobs)
    text = table(results)
    write_text(args.out / "table.md", text + "\n")
    write_json(args.out / SUMMARY, {"about": text.rpartition("\n")[2], "cells": results})
    print(text)
    return 0


def _results(missing: Sequence[Cell], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs <= 1:
        yield from map(run_cell, missing)
        return
    for _, result in unordered_map(_work, missing, jobs, _start_worker, _lost):
        yield result


def _work(_: None, cell: Cell) -> dict[str, Any]:
    return run_cell(cell)


def _lost(cell: Cell, how: str) -> dict[str, Any]:
    what = f"the process that trained {cell.file.stem} died ({how})"
    raise UserError(f"{what}; run the same command again")


def _start_worker() -> None:
    """One compute thread, since `jobs` workers share the cores."""
    os.environ["OMP_NUM_THREADS"] = "1"
    from tqdm import tqdm

    from keras_ddl.framework import tf

    tqdm.set_lock(RLock())  # the usual one is made for several processes, and outlives a killed one
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


if __name__ == "__main__":
    sys.exit(main())
