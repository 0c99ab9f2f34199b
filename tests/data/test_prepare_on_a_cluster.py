"""`data.prepare --cluster` on a real Ray cluster: the shards of one machine, byte for byte."""

from __future__ import annotations

import json
import re
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
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.store import Store

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

POISON = "poison.mp4"


OPTIONS = ["--frames", "4", "--size", "32", "--detector", "haar", "--clips-per-video", "2"]


@pytest.fixture
def root(draw_face: Any, write_mp4: Callable[..., Path], tmp_path: Path) -> Path:
    root = tmp_path / "videos"
    for number, name in enumerate(("train/real/a", "train/fake/b", "val/real/c", "test/fake/d")):
        path = root / f"{name}.mp4"
        path.parent.mkdir(parents=True)
        wall = np.full((120, 160, 3), 90 + 20 * number, np.uint8)
        write_mp4(path, (draw_face(wall, 72 + 0.5 * i, 60, 60) for i in range(14)))
    return root


def test_the_shards_are_those_of_one_machine_and_a_poisoned_video_is_crashed(
    root: Path,
    tmp_path: Path,
    ray_cluster: Any,
    contents: Callable[[Path], dict[str, bytes]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    cluster = ["--cluster", ray_cluster.address]
    assert command.main([str(root), "--out", str(here), *OPTIONS]) == 0
    assert command.main([str(root), "--out", str(there), *OPTIONS, *cluster]) == 0
    assert len(contents(here)) > 6 and contents(here) == contents(there)

    shutil.copy(root / "test/fake/d.mp4", root / "test/fake" / POISON)
    assert command.main([str(root), "--out", str(there), *OPTIONS, *cluster]) == 0
    assert read_summary(there)["splits"]["test"]["crashed"] == 1
    bar = capsys.readouterr().err
    speed = r"[\d,]+ videos and [\d.]+ h of video an hour, node \S+ \d"
    assert re.search(rf"4 of 4 videos, {speed}", bar)
    assert re.search(rf"5 of 5 videos, 1 failed, {speed}", bar)
    videos = json.loads((there / "test" / "index.json").read_text())["videos"]
    assert {v["key"][-1]: v["status"] for v in videos} == {"d.mp4": "ok", POISON: "crashed"}
    assert command.main([str(root), "--out", str(there), *OPTIONS, *cluster]) == 0  # and once only


def test_from_a_store_into_a_store(
    root: Path,
    bucket: Address,
    tmp_path: Path,
    ray_cluster: Any,
    contents: Callable[[Path], dict[str, bytes]],
) -> None:
    """Workers fetch the videos and write the shards; those are the ones of a folder."""
    store = Store(bucket)
    for path in root.rglob("*.mp4"):
        name = path.relative_to(root).as_posix()
        store.write(bucket / "videos" / name, path.read_bytes())
    out, here = bucket / "clips", tmp_path / "here"
    words = ["--out", out, *OPTIONS, "--cluster", ray_cluster.address]
    assert command.main([bucket / "videos", *words]) == 0
    assert command.main([str(root), "--out", str(here), *OPTIONS]) == 0
    found = {file.address.removeprefix(f"{out}/"): file.address for file in store.below(out)}
    expected = contents(here)
    assert found.keys() - {"report.md"} == expected.keys()
    for name in expected.keys() - {"prepared.json"}:  # which says where the videos are
        assert store.read(found[name]) == expected[name]
