"""`data.prepare --cluster` on a real Ray cluster: the shards of one machine, byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("ray")

from keras_ddl.data import prepare as command
from keras_ddl.data.prepared import read_summary

POISON = "poison.mp4"


def test_the_shards_are_those_of_one_machine_and_a_poisoned_video_is_crashed(
    draw_face: Any, write_mp4: Callable[..., Path], tmp_path: Path, ray_cluster: Any
) -> None:
    root = tmp_path / "videos"
    for number, name in enumerate(("train/real/a", "train/fake/b", "val/real/c", "test/fake/d")):
        path = root / f"{name}.mp4"
        path.parent.mkdir(parents=True)
        wall = np.full((120, 160, 3), 90 + 20 * number, np.uint8)
        write_mp4(path, (draw_face(wall, 72 + 0.5 * i, 60, 60) for i in range(14)))
    here, there = tmp_path / "here", tmp_path / "there"
    options = ["--frames", "4", "--size", "32", "--detector", "haar", "--clips-per-video", "2"]
    cluster = ["--cluster", ray_cluster.address]
    assert command.main([str(root), "--out", str(here), *options]) == 0
    assert command.main([str(root), "--out", str(there), *options, *cluster]) == 0
    found = (path.relative_to(here) for path in here.rglob("*") if path.is_file())
    files = [path for path in found if path.name != "report.md"]  # which says where it lies
    assert len(files) > 6
    assert all((here / f).read_bytes() == (there / f).read_bytes() for f in files)

    shutil.copy(root / "test/fake/d.mp4", root / "test/fake" / POISON)
    assert command.main([str(root), "--out", str(there), *options, *cluster]) == 0
    assert read_summary(there)["splits"]["test"]["crashed"] == 1
    videos = json.loads((there / "test" / "index.json").read_text())["videos"]
    assert {v["key"][-1]: v["status"] for v in videos} == {"d.mp4": "ok", POISON: "crashed"}
    assert command.main([str(root), "--out", str(there), *options, *cluster]) == 0  # and once only
