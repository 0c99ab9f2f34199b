"""The ablation: entrants of the matrix, and tables that say what was run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import ablation
from keras_ddl.ablation import drawn, entrants, named
from keras_ddl.comparison.ablation_results import Ablation, table
from keras_ddl.comparison.cell import cells
from keras_ddl.comparison.matrix import Matrix
from keras_ddl.comparison.process import Ended
from keras_ddl.config import load
from keras_ddl.networks.ablations import TITLES, VARIANTS

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["frames=4", "size=32"]


@pytest.fixture
def record(commands: Any, monkeypatch: pytest.MonkeyPatch) -> Ablation:
    """Two difficulties, two seeds, one backbone; commands only pretend."""
    roots = []
    for name in ("0.2", "0.6"):
        root = commands.out / f"videos-d{name}"
        for split in ("train", "val", "test"):
            (root / split / "real").mkdir(parents=True)
            (root / split / "real" / "a.mp4").touch()
        roots.append(root)
    asked = iter(roots)

    def drawn_for(config: Any, _: Path) -> Path:
        root = next(asked)
        assert root.name == f"videos-d{config.synthetic_difficulty:g}"
        return root

    monkeypatch.setattr("keras_ddl.ablation.synthetic_root", drawn_for)
    data = list(drawn(load("ablation"), [0.2, 0.6]))
    chosen = entrants("ablation", None, SMALL, ["resnet18"], 2)
    matrix = cells(data, chosen, commands.out)
    return Ablation(commands.out, "the command", None, data, chosen, matrix)


def run(record: Ablation) -> int:
    return Matrix(record, record.out, speed=False, jobs=1, lock=0).run()


def test_the_matrix_holds_every_variant_seed_and_difficulty(record: Ablation) -> None:
    configs = [cell.entrant.config for cell in record.cells]
    settings = {(c.synthetic_difficulty, c.seed, c.modules) for c in configs}
    assert settings == {(d, s, m) for d in (0.2, 0.6) for s in (0, 1) for m in VARIANTS.values()}
    assert len(configs) == len({cell.run for cell in record.cells}) == 2 * 2 * 4
    assert {(c.preset, c.backbone, c.frames) for c in configs} == {("ablation", "resnet18", 4)}
    assert TITLES.keys() == VARIANTS.keys()


def test_a_file_of_settings_lies_below_the_ablations_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('backbone = "xception"\nepochs = 3\n')
    plain, *_ = entrants("cpu", file, ["batch=2"], ["resnet18"], 1)
    config = plain.config
    assert (config.backbone, config.epochs, config.batch) == ("resnet18", 3, 2)
    options = ["--preset", "cpu", "--config", str(file), "--set", "batch=2", "backbone=resnet18"]
    assert plain.options() == [*options, "modules=none", "seed=0"]


def test_everything_once_and_then_nothing(record: Ablation, commands: Any) -> None:
    """Networks are built once for all seeds and data; what is finished is kept."""
    assert run(record) == 0
    built = [f"costs resnet18-{variant}" for variant in VARIANTS]
    assert commands.calls[:4] == built
    assert commands.calls[4:6] == [
        f"{step} videos-d0.2/resnet18-none-seed0" for step in ("train", "evaluate")
    ]
    assert len(commands.calls) == len(set(commands.calls)) == 4 + 2 * 16
    found = json.loads((commands.out / "ablation.json").read_text())
    first, last = found["cells"][0], found["cells"][-1]
    assert (first["dataset"], first["variant"], first["seed"]) == ("d 0.2", "none", 0)
    assert last["run"] == "videos-d0.6/resnet18-both-seed1" and last["parameters"] == 1000
    assert last["result"]["test"]["video"]["auc"] == 0.9
    assert last["result"]["validation_video_auc"] == 0.8
    text = (commands.out / "table.md").read_text()
    assert "mean ± sd over 2 seeds; 40 real and 80 fake test videos; d = difficulty." in text
    commands.calls.clear()
    assert run(record) == 0 and commands.calls == []


def test_a_failure_is_told_and_stops_nothing_else(
    record: Ablation, commands: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.failing = {
        "costs resnet18-msa": Ended(3, "no weights"),
        "train videos-d0.2/resnet18-both-seed1": Ended(4, "it diverged"),
    }
    assert run(record) == 4
    assert not [call for call in commands.calls if "msa-seed" in call]
    assert capsys.readouterr().err.count("no weights") == 1  # for both seeds and data
    found = json.loads((commands.out / "ablation.json").read_text())
    assert len(found["cells"]) == 16 - 4 - 1 and len(found["errors"]) == 4 + 1
    said = "- resnet18 + DFDC + MSA, seed 1 on d 0.2: it diverged"
    assert said in (commands.out / "table.md").read_text().splitlines()


def test_table_by_hand(record: Ablation) -> None:
    """AUC 0.5, 0.7, 0.9: mean 0.7, sample standard deviation 0.2."""
    run(record)
    one = record.trained()[0]
    results = [
        replace(
            one,
            variant=variant,
            dataset=dataset,
            seed=seed,
            result=replace(
                one.result,
                training_seconds=10.0 * (seed + 1),
                test=replace(one.result.test, video={"accuracy": 0.6, "auc": 0.5 + 0.2 * seed}),
            ),
        )
        for variant in ("none", "both")
        for dataset in ("d 0.3", "d 0.5")
        for seed in range(3)
    ]
    lines = table(results).splitlines()
    columns = [column.strip() for column in lines[0].strip("|").split("|")]
    numbers = ["d 0.3 ACC", "d 0.3 AUC", "d 0.5 ACC", "d 0.5 AUC"]
    assert columns == ["network", *numbers, "training, s"]
    row = [column.strip() for column in lines[2].strip("|").split("|")]
    both = ["0.600 ± 0.000", "0.700 ± 0.200"]
    assert row == ["plain", *both, *both, "20"]
    assert lines[3].startswith("| + DFDC + MSA |") and len(lines) == 4
    assert "| 0.600 | 0.500 |" in table(results[:1]).splitlines()[2]  # one seed has no sd


def test_two_folders_of_one_dataset_are_two_columns(tmp_path: Path) -> None:
    """Their rows would be one, and their numbers mixed."""
    roots = []
    for folder in ("c23", "c40"):
        (tmp_path / folder / "test" / "real").mkdir(parents=True)
        file = tmp_path / folder / "list.csv"
        (tmp_path / folder / "test" / "real" / "a.mp4").touch()
        file.write_text("path,label,split\ntest/real/a.mp4,real,test\n")
        roots.append(file)
    found = list(named(roots, ["csv"]))
    assert [data.title for data in found] == ["list (c23)", "list (c40)"]
    assert [data.title for data in named(roots[:1], ["csv"])] == ["list"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "meso4"], "expected a preset of the paper's network, received meso4"),
        (["--seeds", "0"], "--seeds: expected 1 or more, received 0"),
        (["--jobs", "0"], "--jobs: expected 1 or more, received 0"),
    ],
)
def test_mistakes_are_one_line(
    capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert ablation.main(options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")


@pytest.mark.slow
def test_stopped_in_trainings_it_goes_on(tmp_path: Path, processes: Any) -> None:
    """As a user calls it; the videos, the trainings and the test split are real."""
    small = ["backbone=resnet18", "width=0.125", "epochs=2", *SMALL]
    options = ["--preset", "smoke", "--seeds", "1", "--jobs", "2", "--set", *small]
    line = [sys.executable, "-m", "keras_ddl.ablation", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    out = tmp_path / "runs" / "ablation"
    pipe = {"stderr": subprocess.PIPE, "text": True, "cwd": tmp_path, "env": environment}
    with subprocess.Popen(line, **pipe) as first:
        while not list(out.glob("*/*/checkpoints/*")) or len(list(out.glob("*/*/INCOMPLETE"))) < 2:
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.1)
        children = processes.children(first.pid)
        first.send_signal(signal.SIGTERM)
        errors = first.stderr.read()
        assert processes.end(children)
    assert first.returncode == 130 and len(children) >= 2
    assert errors.splitlines()[-1].startswith("error: interrupted; go on with: python -m keras_ddl")
    assert not (out / "ablation.json").exists()

    subprocess.run(line, cwd=tmp_path, env=environment, check=True, capture_output=True)
    logs = [log.read_text() for log in out.glob("synthetic-*/*.log")]
    assert sum("going on with" in log for log in logs) >= 1
    found = json.loads((out / "ablation.json").read_text())
    assert [cell["variant"] for cell in found["cells"]] == list(VARIANTS)
    for cell in found["cells"]:
        assert (
            1 <= cell["result"]["best_epoch"] <= 2 and cell["result"]["test"]["video"]["fake"] == 2
        )
        assert (out / cell["run"] / "report.html").is_file()
