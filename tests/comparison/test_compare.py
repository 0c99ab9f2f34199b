"""The command as a user calls it: refusals at once, interruptions, and the whole way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import compare
from keras_ddl.comparison.entrants import NAMES
from keras_ddl.comparison.matrix import Matrix, held
from keras_ddl.config import DDL

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of empty files, and a place of its own for what the command writes."""
    monkeypatch.chdir(tmp_path)
    for split in ("train", "val", "test"):
        file = tmp_path / "videos" / split / "real" / "a.mp4"
        file.parent.mkdir(parents=True)
        file.touch()
    return tmp_path / "videos"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--models", "xeption"], "--models: unknown method 'xeption'; did you mean 'xception'?"),
        (["--set", "sizes=3"], "unknown config key 'sizes'; did you mean 'size'?"),
        (["--layout", "ffpp", "folder"], "--layout: expected one name, or one for each of 1"),
    ],
)
def test_mistakes_are_one_line_and_cost_nothing(
    plain: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert compare.main(["--data", str(plain), "--models", "resnet18", *options]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "no GPU" not in line]
    assert line.startswith(f"error: {said}")


def test_a_folder_in_use_is_refused(plain: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(plain.parent / "out", ""):
        options = ["--data", str(plain), "--out", "out", "--models", "resnet18"]
        assert compare.main(options) == 2
    assert "another command writes out" in capsys.readouterr().err


def test_an_interruption_says_how_to_go_on(
    plain: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Matrix, "run", interrupted)
    options = ["--data", str(plain), "--models", "resnet18", "--set", "weights=", "seed=3"]
    assert compare.main(options) == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        f"error: interrupted; go on with: python -m keras_ddl.compare --data {plain} "
        "--models resnet18 --set weights= seed=3"
    )


# Generated videos by the dozen, networks of a few thousand weights.
SMALL = (
    "--models ddl resnet18 xception --ddl-preset smoke --seed 3 --out out --set size=32 frames=4 "
    "width=0.125 backbone=resnet18 epochs=2 batch=4 clips_per_video=2 weights= frozen_epochs=0"
).split()


# The least that every method of the zoo takes: InceptionV3 75 px, DIL two snippets of 4 frames.
ALL = (
    "--ddl-preset smoke --out out --set size=75 frames=8 width=0.125 epochs=1 batch=4 "
    "clips_per_video=2 weights= frozen_epochs=0"
).split()


def started(folder: Path, options: Sequence[str] = SMALL) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    line = [sys.executable, "-m", "keras_ddl.compare", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(line, cwd=folder, env=environment, text=True, **pipes)


@pytest.mark.slow
def test_killed_in_a_training_it_goes_on_and_then_has_nothing_to_do(
    tmp_path: Path, processes: Any
) -> None:
    cell = tmp_path / "out" / "synthetic-4-2-2-d0-s0" / "ddl"
    with started(tmp_path) as first:
        while not list(cell.glob("checkpoints/*")):
            assert first.poll() is None, first.stderr.read()
            time.sleep(0.1)
        children = processes.children(first.pid)
        first.send_signal(signal.SIGKILL)
        first.stderr.close()
        assert processes.end(children)
    assert (cell / "INCOMPLETE").exists()

    with started(tmp_path) as second:
        output, errors = second.communicate()
    assert "going on with" in cell.with_name("ddl.log").read_text()
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    (dataset,) = found["datasets"]
    judged = {name: facts for name, facts in dataset["cells"].items() if "test" in facts}
    assert set(judged) == {"ddl", "resnet18"}
    # 71 px is the least that Xception takes; the others go on
    assert "size of at least 71" in dataset["cells"]["xception"]["error"]
    assert "Xception: Xception needs a size of at least 71; got 32" in errors
    assert output.splitlines()[-1] == "look at out/comparison.html"
    for name, facts in judged.items():
        run = cell.with_name(name)
        assert facts["test"]["video"]["real"] == 2 and facts["test"]["video"]["fake"] == 2
        assert 1 <= facts["best_epoch"] <= 2
        assert (run / "report.html").is_file() and not (run / "INCOMPLETE").exists()
        assert (run / "bundle").is_dir() != ("export_error" in facts)
        method = next(method for method in found["methods"] if method["name"] == name)
        metrics = json.loads((run / "metrics.json").read_text())
        assert 0 < method["parameters"] < metrics["parameters"]  # without batch norm's statistics
        assert method["gmac"] > 0 and method["config"]["seed"] == 3
    lacking = "export_error" in json.dumps(dataset) or found["speed_error"]
    assert second.returncode == (4 if lacking else 2)
    assert dataset["cells"]["resnet18"].get("export_error") is None

    kept = {path: path.stat().st_mtime_ns for path in cell.parent.rglob("weights.h5")}
    kept |= {path: path.stat().st_mtime_ns for path in cell.parent.rglob("test.json")}
    with started(tmp_path) as third:
        third.communicate()
    assert third.returncode == second.returncode and len(kept) == 4
    assert kept == {path: path.stat().st_mtime_ns for path in kept}
    again = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert again["methods"] == found["methods"]
    for name, facts in judged.items():
        assert again["datasets"][0]["cells"][name]["test"] == facts["test"]


@pytest.mark.slow
def test_every_method_goes_the_whole_way(tmp_path: Path) -> None:
    """Videos, training, test split, export gate, clips per second, as a user calls it."""
    with started(tmp_path, ALL) as run:
        _, errors = run.communicate()
    # DDL after one epoch: features are nearly constant, its map is rounding, and the gate says so.
    assert run.returncode in (0, 4), errors
    found = json.loads((tmp_path / "out" / "comparison.json").read_text())
    (dataset,) = found["datasets"]
    assert [method["name"] for method in found["methods"]] == list(NAMES)
    for method in found["methods"]:
        facts = dataset["cells"][method["name"]]
        assert facts["test"]["video"]["fake"] == 2 and method["gmac"] > 0
        if method["name"] != DDL:
            assert "export_error" not in facts and method["clips_per_second"] > 0
    assert (tmp_path / "out" / "accuracy-cost-synthetic-4-2-2-d0-s0.svg").is_file()
