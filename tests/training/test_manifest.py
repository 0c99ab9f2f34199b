"""The manifest names what a result rests on."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_summary
from keras_ddl.training import manifest as module
from keras_ddl.training.devices import Devices
from keras_ddl.training.manifest import git_commit, manifest


def test_data_are_named_by_fingerprint_and_by_the_index_of_each_split(flicker_set: Path) -> None:
    found = manifest(TrainConfig(seed=3), flicker_set, Devices())
    assert found["seed"] == 3 and found["deterministic"] is False
    assert found["data"]["fingerprint"] == read_summary(flicker_set)["fingerprint"]
    train = found["data"]["splits"]["train"]
    content = (flicker_set / "train" / "index.json").read_bytes()
    assert train["index_sha256"] == hashlib.sha256(content).hexdigest()
    assert (train["clips"], train["ok"], train["real"], train["fake"]) == (48, 24, 24, 24)


def test_program_and_machine_are_named(flicker_set: Path) -> None:
    found = manifest(TrainConfig(), flicker_set, Devices())
    import tensorflow as tf

    assert found["packages"]["tensorflow"] == tf.__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["hardware"]["cores"] >= 1 and found["hardware"]["memory_gib"] > 0
    assert found["command"]


def test_the_commit_is_gits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=n", "-c", "user.email=e@x"]
        command = ["git", "-C", str(tmp_path), *settings, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    (tmp_path / "keras_ddl").mkdir()
    source = tmp_path / "keras_ddl" / "manifest.py"
    source.write_text("a")
    monkeypatch.setattr(module, "__file__", str(source))
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_commit() is None
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    commit = git("rev-parse", "HEAD")
    assert git_commit() == commit
    (tmp_path / "untracked").write_text("b")
    assert git_commit() == commit
    source.write_text("c")
    assert git_commit() == commit + "+"
