"""The ablation matrix: resumable, and a table that says what was run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.ablation import (
    Cell,
    cells,
    named,
    run_matrix,
    synthetic,
)
from keras_ddl.comparison.ablation_table import NAMES, VARIANTS, table
from keras_ddl.config import TrainConfig, load

SMALL = {"frames": 4, "size": 32, "width": 0.25, "batch": 12, "epochs": 1, "modules": []}


@pytest.fixture
def matrix(flicker_set: Path, tmp_path: Path) -> list[Cell]:
    """Two cells: the plain backbone with two seeds."""
    base = TrainConfig.from_dict(SMALL)
    return [
        Cell("set", "none", replace(base, seed=seed), flicker_set, tmp_path / f"seed{seed}.json")
        for seed in (0, 1)
    ]


@pytest.mark.slow
def test_finished_cells_are_kept_and_missing_ones_made(matrix: list[Cell]) -> None:
    """A kill leaves some cells written: the next call makes the others and nothing else."""
    first = run_matrix(matrix[:1], progress=False)
    stamp = matrix[0].file.stat().st_mtime_ns
    second = run_matrix(matrix, progress=False)
    assert matrix[0].file.stat().st_mtime_ns == stamp
    assert second[0] == first[0] == json.loads(matrix[0].file.read_text())
    assert second[1]["cell"]["config"]["seed"] == 1 and second[1]["best_epoch"] == 1
    assert second[1]["test"]["videos"] == {"ok": 10, "no face": 1}
    assert matrix[1].stored() == second[1]
    changed = replace(matrix[0], config=replace(matrix[0].config, learning_rate=0.01))
    assert changed.stored() is None


LONG = """
import sys
from dataclasses import replace
from pathlib import Path
from keras_ddl.ablation import Cell, run_matrix
from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import run_cli

def body():
    base = TrainConfig.from_dict({small} | {{"epochs": 1_000_000}})
    clips, out = Path(sys.argv[1]), Path(sys.argv[2])
    cells = [
        Cell("set", "none", replace(base, seed=seed), clips, out / f"seed{{seed}}.json")
        for seed in range(3)
    ]
    run_matrix(cells, jobs=2, progress=False)
    return 0

if __name__ == "__main__":
    sys.exit(run_cli(body))
"""


@pytest.mark.slow
def test_sigterm_ends_the_workers_in_the_middle_of_a_training(
    flicker_set: Path, tmp_path: Path, processes: Any
) -> None:
    script = tmp_path / "long.py"
    script.write_text(LONG.format(small=SMALL))
    line = [sys.executable, str(script), str(flicker_set), str(tmp_path)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as parent:
        while len(list(tmp_path.glob("seed*.h5"))) < 2:  # an epoch is over in both
            assert parent.poll() is None, parent.stderr.read()
            time.sleep(0.1)
        workers = processes.children(parent.pid)
        assert len(workers) >= 2
        parent.send_signal(signal.SIGTERM)
        assert processes.end(workers)
        error = parent.stderr.read()
    assert (parent.returncode, error) == (130, "interrupted\n")


def test_the_matrix_holds_every_variant_seed_and_difficulty(
    monkeypatch: pytest.MonkeyPatch, flicker_set: Path, tmp_path: Path
) -> None:
    asked = []

    def root(config: TrainConfig, cache: Path) -> Path:
        asked.append(config.synthetic_difficulty)
        return cache

    monkeypatch.setattr("keras_ddl.ablation.synthetic_root", root)
    monkeypatch.setattr("keras_ddl.ablation.prepared_for", lambda *_, **__: flicker_set)
    data = synthetic(load("ablation"), [0.2, 0.6], tmp_path)
    found = list(cells(data, [], 3, tmp_path, tmp_path))
    assert asked == [0.2, 0.6]
    assert len(found) == len({cell.file for cell in found}) == 2 * 3 * 4
    settings = {(c.config.synthetic_difficulty, c.config.seed, c.variant) for c in found}
    assert settings == {(d, s, v) for d in (0.2, 0.6) for s in range(3) for v in VARIANTS}
    assert all(cell.config.modules == VARIANTS[cell.variant] for cell in found)
    assert NAMES.keys() == VARIANTS.keys()


def _result(variant: str, difficulty: float, seed: int, accuracy: float, auc: float) -> Any:
    config = load("smoke").to_dict() | {"synthetic_difficulty": difficulty, "seed": seed}
    video = {"accuracy": accuracy, "auc": auc, "real": 7, "fake": 9}
    return {
        "dataset": f"d {difficulty:g}",
        "backbone": config["backbone"],
        "variant": variant,
        "cell": {"config": json.loads(json.dumps(config))},
        "test": {"video": video},
        "seconds": 10.0 * (seed + 1),
    }


def test_table_by_hand() -> None:
    """AUC 0.5, 0.7, 0.9: mean 0.7, sample standard deviation 0.2."""
    results = [
        _result(variant, difficulty, seed, 0.6, 0.5 + 0.2 * seed)
        for variant in ("none", "both")
        for difficulty in (0.3, 0.5)
        for seed in range(3)
    ]
    lines = table(results).splitlines()
    columns = [column.strip() for column in lines[0].strip("|").split("|")]
    assert columns == [
        "network",
        *("d 0.3 ACC", "d 0.3 AUC", "d 0.5 ACC", "d 0.5 AUC"),
        "training, s",
    ]
    row = [column.strip() for column in lines[2].strip("|").split("|")]
    both = "0.600 ± 0.000", "0.700 ± 0.200"
    assert row == ["plain", *both, *both, "20"]
    assert lines[3].startswith("| + DFDC + MSA |") and len(lines) == 6
    assert "mean ± sd over 3 seeds; 7 real and 9 fake test videos" in lines[-1]
    assert "| 0.600 | 0.500 |" in table(results[:1]).splitlines()[2]  # one seed has no sd


def test_two_folders_of_one_dataset_are_two_columns(tmp_path: Path) -> None:
    """Their cells would lie in one file, and each call would train them again."""
    roots = []
    for folder in ("c23", "c40"):
        (tmp_path / folder / "test" / "real").mkdir(parents=True)
        file = tmp_path / folder / "list.csv"
        (tmp_path / folder / "test" / "real" / "a.mp4").touch()
        file.write_text("path,label,split\ntest/real/a.mp4,real,test\n")
        roots.append(file)
    found = list(named(load("ablation"), roots, ["csv"]))
    assert [data.name for data in found] == ["list (c23)", "list (c40)"]
    assert [data.name for data in named(load("ablation"), roots[:1], ["csv"])] == ["list"]
