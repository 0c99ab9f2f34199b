"""A killed training goes on as if nothing had happened; what it cannot go on from it says so."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import train as training
from keras_ddl.build_network import load_run
from keras_ddl.data.prepared import read_summary
from keras_ddl.edge.runs import INCOMPLETE, WEIGHTS

# Trains, and meets its end at a step of an epoch, both from 1; step 0 is the end of the epoch.
DOOMED = """
import os, resource, signal, sys
from keras_ddl import train
from keras_ddl.training.checkpoint import WriteCheckpoints as Writer
epoch, step, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def end():
    if how == "full":
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    else:
        os.kill(os.getpid(), getattr(signal, how))
def doomed(inner, step_of):
    def call(self, number, logs=None):
        progress = self._progress
        here = (progress.epoch + (step > 0), step_of(progress))
        if here == (epoch, step):
            end()
        return inner(self, number, logs)
    return call
Writer.on_train_batch_end = doomed(Writer.on_train_batch_end, lambda p: p.step + 1)
Writer.on_epoch_end = doomed(Writer.on_epoch_end, lambda p: p.step)
sys.exit(train.main(sys.argv[4:]))
"""


Doomed = Callable[[Path, int, int, str], subprocess.CompletedProcess[str]]


@pytest.fixture
def doomed(flicker_set: Path, plain_options: list[str]) -> Doomed:
    """Trains like `plain_run` into a folder, until a step of an epoch, and ends as it is told."""

    def run(out: Path, epoch: int, step: int, how: str) -> subprocess.CompletedProcess[str]:
        options = ["--prepared", str(flicker_set), "--resume", str(out), "--checkpoint-every", "2"]
        command = [sys.executable, "-c", DOOMED, str(epoch), str(step), how]
        words = [*command, *options, *plain_options]
        return subprocess.run(words, check=False, capture_output=True, text=True)

    return run


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stderr.strip().splitlines()[-1]


def assert_same(run: Path, other: Path) -> None:
    histories = [json.loads((folder / "history.json").read_text()) for folder in (run, other)]
    assert histories[0] == histories[1]
    wrong = [(folder / "wrong_videos.jsonl").read_text() for folder in (run, other)]
    assert wrong[0] == wrong[1]
    models = [load_run(folder)[0] for folder in (run, other)]
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("epoch", "step"),
    [
        (2, 4),  # in the middle of an epoch
        pytest.param(1, 6, marks=pytest.mark.slow),  # with its last step, before it is judged
    ],
)
def test_a_killed_training_goes_on_to_the_same_bits(
    epoch: int, step: int, plain_run: Path, doomed: Doomed, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    assert doomed(out, epoch, step, "SIGKILL").returncode == -signal.SIGKILL
    assert (out / INCOMPLETE).exists() and len(list((out / "checkpoints").iterdir())) <= 2
    assert training.main(["--resume", str(out)]) == 0
    assert_same(out, plain_run)
    assert not (out / INCOMPLETE).exists() and not (out / "checkpoints").exists()


@pytest.fixture
def unfinished(doomed: Doomed, tmp_path: Path) -> Path:
    """A run stopped by Ctrl-C with two checkpoints, of epoch 1 and of step 2 of the next."""
    out = tmp_path / "run"
    done = doomed(out, 2, 3, "SIGINT")
    assert done.returncode == 130
    remedy = f"error: interrupted; go on with: python -m keras_ddl.train --resume {out}"
    assert last_line(done) == remedy
    names = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert names == ["epoch-0001-step-000000", "epoch-0001-step-000002"]
    return out


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_and_the_one_before_it_used_on_request(
    unfinished: Path,
    plain_run: Path,
    plain_options: list[str],
    flicker_set: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        training.main(["--resume", str(unfinished), "--out", "elsewhere"])
    capsys.readouterr()

    def refused(*options: str) -> str:
        assert training.main(["--resume", str(unfinished), *options]) != 0
        return capsys.readouterr().err.splitlines()[-1]

    changed = refused(*plain_options, "batch=12", "seed=4")
    assert "was begun with another configuration: batch 8 → 12, seed 0 → 4" in changed
    other = flicker_set.parent / "other"
    other.mkdir(exist_ok=True)
    summary = {**read_summary(flicker_set), "fingerprint": "0" * 64}
    (other / "prepared.json").write_text(json.dumps(summary))
    assert f"{other} has changed since" in refused("--prepared", str(other))

    newest = unfinished / "checkpoints" / "epoch-0001-step-000002"
    data = next(newest.glob("state.data*"))
    data.write_bytes(data.read_bytes()[:-1000])
    line = refused()
    assert f"{newest} is damaged: {data.name} is not what was written" in line
    assert "epoch-0001-step-000000 is whole: go on from it with --previous" in line
    assert newest.is_dir()

    assert training.main(["--resume", str(unfinished), "--previous"]) == 0
    assert_same(unfinished, plain_run)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_loses_nothing(
    doomed: Doomed, plain_run: Path, tmp_path: Path
) -> None:
    """No file may grow beyond 100 kB from step 4 of epoch 2 on, which is a checkpoint's."""
    out = tmp_path / "run"
    done = doomed(out, 2, 4, "full")
    assert done.returncode == 3
    assert "cannot write the checkpoint" in last_line(done)
    assert "epoch-0001-step-000002 is whole, go on from it with --resume" in last_line(done)
    assert "Traceback" not in done.stderr
    names = sorted(path.name for path in (out / "checkpoints").iterdir())
    assert names == ["epoch-0001-step-000000", "epoch-0001-step-000002"]
    assert training.main(["--resume", str(out)]) == 0
    assert_same(out, plain_run)


def test_a_finished_run_is_not_gone_on_with(
    plain_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert training.main(["--resume", str(plain_run)]) == 2
    assert f"--resume: {plain_run} is complete" in capsys.readouterr().err
    assert (plain_run / WEIGHTS).is_file()
