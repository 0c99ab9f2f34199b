"""`deploy/scan.py --cluster` on a real Ray cluster: the results of one machine, whatever dies."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("av")
pytest.importorskip("ray")

from deploy import scan
from deploy.scanning.kit import Options, open_kit
from keras_ddl.edge.errors import UserError

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

ROOT = Path(__file__).resolve().parents[2]
SCAN = (sys.executable, str(ROOT / "deploy" / "scan.py"))
POISON = "poison.mp4"
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as the cluster of the tests
OF_ITS_TIME = ("elapsed_s", "stage_s", "judged_at", "finished")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory, face_video: Path, empty_video: Path) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    shutil.copy(face_video, folder / "face.mp4")
    shutil.copy(empty_video, folder / "nobody.mp4")
    (folder / "broken.mp4").write_bytes(face_video.read_bytes()[:2000])
    (folder / "notes.txt").write_text("a text")
    return folder


def call(archive: Path, bundle: Path, out: Path, *more: object) -> list[str]:
    line = [archive, "--bundle", bundle, "--detector", "haar", "--out", out, *more]
    return [str(part) for part in line]


def timeless(found: Any) -> Any:
    """JSON without what differs from one scan to the next."""
    if isinstance(found, dict):
        return {k: timeless(v) for k, v in found.items() if k not in OF_ITS_TIME}
    return [timeless(one) for one in found] if isinstance(found, list) else found


def results(out: Path) -> dict[str, Any]:
    """Summary, table and page, without the times in them."""
    page = (out / "scan.html").read_text()
    return {
        "json": timeless(json.loads((out / "scan.json").read_text())),
        "page": re.sub(r"finished [0-9: -]+ UTC|<dt>judged</dt><dd>.*</dd>", "", page),
        "records": sorted(path.name for path in out.glob("*/*")),
    }


def test_the_results_are_those_of_one_machine(
    archive: Path,
    filmed_bundle: Path,
    tmp_path: Path,
    ray_cluster: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(archive.parent)  # relative paths are those of the command
    here, there = tmp_path / "here", tmp_path / "there"
    near = Path(archive.name)
    assert scan.main(call(near, filmed_bundle, here, "--jobs", 2)) == 2  # of the broken one
    assert scan.main(call(near, filmed_bundle, there, "--cluster", ray_cluster.address)) == 2
    assert results(there) == results(here)
    assert scan.main(call(near, filmed_bundle, there, "--cluster", ray_cluster.address)) == 2
    assert "going on: 4 of 4 files are done" in capsys.readouterr().err


def test_a_file_that_kills_its_workers_is_crashed_and_named(
    archive: Path,
    filmed_bundle: Path,
    tmp_path: Path,
    ray_cluster: Any,
    environment: dict[str, str],
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", POISON, "z.mp4"):
        shutil.copy(archive / "nobody.mp4", folder / name)
    out = tmp_path / "out"
    line = call(folder, filmed_bundle, out, "--cluster", ray_cluster.address)
    done = subprocess.run(
        [*SCAN, *line], env=environment | LOOPBACK, capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    found = json.loads((out / "scan.json").read_text())["files"]
    assert {Path(f["path"]).name: f["status"] for f in found} == {
        "a.mp4": "judged",
        POISON: "crashed",
        "z.mp4": "judged",
    }
    assert f"{folder / POISON}: 2 worker processes died over it (on node " in done.stderr
    assert done.stdout == f"{out / 'scan.html'}\n" and "raylet" not in done.stderr


@pytest.mark.parametrize(
    ("more", "told", "code"),
    [
        (["--jobs", "2"], "--jobs is of this machine; with --cluster name --workers-per-node", 2),
        (["--gpus-per-worker", "1"], "expected a node with 1 CPUs and 1 GPUs per worker, rec", 3),
    ],
)
def test_what_the_cluster_cannot_do_is_a_line(
    archive: Path,
    filmed_bundle: Path,
    tmp_path: Path,
    ray_cluster: Any,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    told: str,
    code: int,
) -> None:
    options = ["--cluster", ray_cluster.address, *more]
    assert scan.main(call(archive, filmed_bundle, tmp_path / "out", *options)) == code
    assert told in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1", "ray://127.0.0.1:1", "::1:x"])
def test_no_cluster_at_an_address_is_a_line(
    archive: Path,
    filmed_bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    address: str,
) -> None:
    assert scan.main(call(archive, filmed_bundle, tmp_path / "out", "--cluster", address)) == 3
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith(f"error: --cluster {address}: no Ray cluster answers")


def test_a_worker_with_another_model_refuses(filmed_bundle: Path, tmp_path: Path) -> None:
    options = Options(
        str(filmed_bundle), "cpu", "real", "haar", 3, 500.0, str(tmp_path), model_sha256="ab" * 32
    )
    with pytest.raises(
        UserError, match="expected the command's model abababababab, received "
    ) as caught:
        open_kit(options)
    assert caught.value.exit_code == 4


@pytest.mark.slow
def test_two_hundred_videos_whatever_is_killed(
    filmed_bundle: Path,
    tmp_path: Path,
    ray_cluster: Any,
    write_mp4: Callable[..., Path],
    environment: dict[str, str],
) -> None:
    """A poisoned file, a node that is lost, and the command killed and called again."""
    archive = tmp_path / "in"
    archive.mkdir()
    frames = [np.full((120, 160, 3), 8 * n, np.uint8) for n in range(25)]
    write_mp4(archive / "000.mp4", frames)
    for number in range(1, 200):
        other = (archive / "000.mp4").read_bytes() + number.to_bytes(2, "big")
        (archive / (POISON if number == 77 else f"{number:03}.mp4")).write_bytes(other)
    here, there = tmp_path / "here", tmp_path / "there"
    assert scan.main(call(archive, filmed_bundle, here, "--jobs", 2)) == 0
    node = ray_cluster.add_node(num_cpus=1)
    line = call(archive, filmed_bundle, there, "--cluster", ray_cluster.address)
    command, loopback = [*SCAN, *line], environment | LOOPBACK

    def done() -> int:
        ledger = there / "scan.jsonl"
        return ledger.read_bytes().count(b"\n") if ledger.exists() else 0

    with subprocess.Popen(command, env=loopback, stderr=subprocess.DEVNULL) as first:
        while done() < 30:
            assert first.poll() is None
            time.sleep(0.05)
        ray_cluster.remove_node(node, allow_graceful=False)
        while done() < 70:
            assert first.poll() is None
            time.sleep(0.05)
        os.kill(first.pid, signal.SIGKILL)
    before = done()
    second = subprocess.run(command, env=loopback, capture_output=True, text=True)
    assert second.returncode == 2 and f"going on: {before} of 200 files" in second.stderr
    assert done() == 200  # each once
    found, expected = results(there)["json"], results(here)["json"]
    (crashed,) = (f for f in found["files"] if f["status"] != "judged")
    assert Path(crashed["path"]).name == POISON and crashed["status"] == "crashed"
    others = [[f for f in r["files"] if Path(f["path"]).name != POISON] for r in (found, expected)]
    assert others[0] == others[1] and len(others[0]) == 199
