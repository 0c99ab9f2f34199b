"""`python -m keras_ddl.ablation`: the paper's ablation table on the synthetic set, resumable."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np

from keras_ddl import config as configs
from keras_ddl.config import TrainConfig
from keras_ddl.data.parallel import unordered_map
from keras_ddl.data.prepare import CACHE, prepared_for
from keras_ddl.data.store import read_summary
from keras_ddl.errors import Parser, run_cli
from keras_ddl.files import read_json, write_json, write_text
from keras_ddl.runs import RUNS
from keras_ddl.train import synthetic_root

VARIANTS: dict[str, tuple[str, ...]] = {
    "none": (),
    "dfdc": ("dfdc",),
    "msa": ("msa",),
    "both": ("dfdc", "msa"),
}
NAMES = {"none": "plain", "dfdc": "+ DFDC", "msa": "+ MSA", "both": "+ DFDC + MSA"}
SEEDS = 3
OUT = RUNS / "ablation"
PRESET = "ablation"


@dataclass(frozen=True)
class Cell:
    """One training of the matrix.

    Args:
        variant: A key of `VARIANTS`.
        config: Everything about the training, seed and difficulty included.
        prepared: Folder of the prepared clips.
        file: Where the cell's result is kept.
    """

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


def cells(
    base: TrainConfig, difficulties: Sequence[float], seeds: int, cache: Path, out: Path
) -> Iterator[Cell]:
    """Yield the matrix; generates and prepares each difficulty's set where that is not done.

    Args:
        base: The reduced network and its training; modules, seed and difficulty are replaced.
        difficulties: Of the synthetic set.
        seeds: Trainings per variant, with seeds 0, 1, …; the data are the same for all.
        cache: Folder of generated and prepared sets.
        out: Folder of the results.
    """
    for difficulty in difficulties:
        with_data = replace(base, synthetic_difficulty=difficulty)
        prepared = prepared_for(with_data, synthetic_root(with_data, cache), cache)
        for seed in range(seeds):
            for variant, modules in VARIANTS.items():
                config = replace(with_data, modules=modules, seed=seed)
                name = f"d{difficulty:g}-{variant}-seed{seed}.json"
                yield Cell(variant, config, prepared, out / "cells" / name)


def run_cell(cell: Cell) -> dict[str, Any]:
    """Train, select on validation, score the test split; write the cell's file and return it."""
    from keras_ddl.clipspec import ClipSpec
    from keras_ddl.evaluate import score_split
    from keras_ddl.framework import keras
    from keras_ddl.training.fit import fit

    keras.backend.clear_session()
    cell.file.parent.mkdir(parents=True, exist_ok=True)
    weights = cell.file.with_suffix(".h5")
    fitted = fit(cell.config, cell.prepared, weights, progress=False)
    weights.unlink()  # not a temporary file: a killed cell's is written over by the next call
    spec = ClipSpec.read(cell.prepared / "clipspec.json")
    _, test = score_split(fitted.model, spec, cell.prepared, "test")
    result = {
        "cell": cell.identity(),
        "variant": cell.variant,
        "best_epoch": fitted.best_epoch,
        "validation_video_auc": fitted.history["val_video_auc"][fitted.best_epoch - 1],
        "test": test,
        "seconds": round(fitted.seconds, 1),
        "parameters": fitted.model.count_params(),
    }
    write_json(cell.file, result)
    return result


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


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return the paper's table in Markdown: video-level test ACC and AUC, mean ± sd over seeds."""
    config = [result["cell"]["config"] for result in results]
    difficulties = sorted({c["synthetic_difficulty"] for c in config})
    head = "| network | " + " | ".join(f"d {d:g} ACC | d {d:g} AUC" for d in difficulties)
    lines = [head + " | training, s |", "|---" * (2 * len(difficulties) + 2) + "|"]
    for variant, name in NAMES.items():
        mine = [result for result in results if result["variant"] == variant]
        if not mine:
            continue
        columns = []
        for difficulty in difficulties:
            here = [
                r["test"]["video"]
                for r in mine
                if r["cell"]["config"]["synthetic_difficulty"] == difficulty
            ]
            columns += [_spread([v[key] for v in here]) for key in ("accuracy", "auc")]
        seconds = np.mean([result["seconds"] for result in mine])
        lines.append(f"| {name} | " + " | ".join(columns) + f" | {seconds:.0f} |")
    videos = results[0]["test"]["video"]
    seeds = len({c["seed"] for c in config})
    lines += [
        "",
        f"{config[0]['backbone']}, width {config[0]['width']:g}, {config[0]['size']} px, "
        f"{config[0]['frames']} frames, {config[0]['epochs']} epochs; mean ± sd over {seeds} "
        f"seeds; {videos['real']} real and {videos['fake']} fake test videos; d = difficulty.",
    ]
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    """Return mean ± sample standard deviation; one value has none."""
    if len(values) < 2:
        return f"{np.mean(values):.3f}"
    return f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.ablation",
        description="Train {none, dfdc, msa, both} × seeds × difficulties; keeps finished cells.",
    )
    configs.add_arguments(parser)
    parser.set_defaults(preset=PRESET)
    group = parser.add_argument_group("matrix")
    group.add_argument(
        "--difficulties", type=float, nargs="+", metavar="D", help="default: preset's"
    )
    group.add_argument("--seeds", type=int, default=SEEDS, help="default %(default)s")
    group.add_argument("--jobs", type=int, default=1, help="cells at a time, one thread each")
    group.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="default %(default)s")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from keras_ddl import framework  # noqa: F401 - a lack is told of before videos are drawn

    base = configs.from_arguments(args)
    difficulties = args.difficulties or [base.synthetic_difficulty]
    matrix = list(cells(base, difficulties, args.seeds, CACHE, args.out))
    text = table(run_matrix(matrix, args.jobs))
    write_text(args.out / "table.md", text + "\n")
    print(text)
    return 0


def _results(missing: Sequence[Cell], jobs: int) -> Iterator[dict[str, Any]]:
    if jobs <= 1:
        yield from map(run_cell, missing)
        return
    for _, result in unordered_map(run_cell, missing, jobs, _start_worker):
        yield result


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
