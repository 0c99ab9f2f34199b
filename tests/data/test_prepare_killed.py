"""Preparation killed at any moment: nothing finished is lost, nobody goes on without it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl.data.prepare import prepare
from keras_ddl.data.prepared import Cut, read_summary
from keras_ddl.data.shards import cut_parts
from keras_ddl.edge.clipspec import ClipSpec

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

SPEC = ClipSpec(frames=8, size=32)


def _prepare(root: Path, out: Path, **changes: object) -> Path:
    settings = {"processes": 0, "clips_per_video": 3, "progress": False, **changes}
    return prepare(root, out, SPEC, **settings)  # type: ignore[arg-type]


CUTTER = "keras_ddl.data.shards.cut_parts:cut_video"
KILLED = """
import os, pathlib, shutil, signal, sys
from pathlib import Path
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.data import prepare as module
from keras_ddl.data.shard_writer import PreparedWriter

def dying(owner, name, when):
    inner = getattr(owner, name)
    def call(*args, **kwargs):
        if when(*args):
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*args, **kwargs)
    setattr(owner, name, call)

root, out, moment = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
if moment == "after three videos":
    dying(PreparedWriter, "note", lambda writer, *_: len(writer.done()) == 3)
if moment == "before the folder is in place":
    dying(pathlib.Path, "rename", lambda path, target: path.name == ".out.partial")
if moment == "before the parts are gone":
    dying(shutil, "rmtree", lambda path, *_: Path(path) == out / "parts")
module.prepare(root, out, ClipSpec(frames=8, size=32), processes=0, clips_per_video=3,
               progress=False)
"""
AT_LAST = ("before the folder is in place", "before the parts are gone")


def note_cuts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the videos that are cut from now on."""
    seen: list[str] = []
    inner = cut_parts.cut_video

    def counted(path: Path, *args: Any, **kwargs: Any) -> Cut:
        seen.append(path.name)
        return inner(path, *args, **kwargs)

    monkeypatch.setattr(cut_parts, "cut_video", counted)
    return seen


@pytest.mark.parametrize("moment", ["after three videos", *AT_LAST])
def test_a_killed_run_goes_on_without_doing_a_video_twice(
    moment: str, face_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: Any
) -> None:
    out, undisturbed = tmp_path / "out", _prepare(face_videos, tmp_path / "undisturbed")
    command = [sys.executable, "-c", KILLED, str(face_videos), str(out), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert out.exists() == (moment == "before the parts are gone")
    seen = note_cuts(monkeypatch)
    _prepare(face_videos, out)
    assert len(seen) == (0 if moment in AT_LAST else 3)  # of six
    assert contents(out) == contents(undisturbed)
    assert not list(tmp_path.glob(".*.partial")) and not (out / "parts").exists()


def test_workers_end_with_a_killed_command_and_the_next_one_goes_on(
    face_videos: Path, tmp_path: Path, processes: Any
) -> None:
    for number in range(40):
        shutil.copy(face_videos / "train/real/a_0.mp4", face_videos / f"train/real/b{number}_0.mp4")
    out, parts = tmp_path / "out", tmp_path / ".out.partial" / "parts"
    line = [sys.executable, "-m", "keras_ddl.data.prepare", str(face_videos), "--out", str(out)]
    line += ["--size", "32", "--clips-per-video", "1", "--processes", "2"]
    with subprocess.Popen(line, stderr=subprocess.DEVNULL) as parent:
        while len(list(parts.glob("*.json"))) < 4:  # three videos and the fingerprint
            assert parent.poll() is None
            time.sleep(0.01)
        workers = processes.children(parent.pid)
        assert len(workers) >= 2
        parent.kill()
        assert processes.end(workers)
    assert parent.returncode == -signal.SIGKILL and not out.exists()
    again = subprocess.run(line, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    (going_on,) = [text for text in again.stderr.splitlines() if "going on: " in text]
    assert going_on.endswith(" of 46 videos are done")
    assert "train: 42 clips; videos: 42 ok, 1 too short" in again.stdout


OPTIONS = ["--size", "32", "--frames", "8", "--clips-per-video", "3"]


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_video_that_kills_its_worker_costs_itself_alone(
    processes: str, face_videos: Path, tmp_path: Path, run_with_a_death: Any
) -> None:
    out = tmp_path / "out"
    command = "keras_ddl.data.prepare"
    arguments = [face_videos, "--out", out, *OPTIONS, "--processes", processes]
    done = run_with_a_death(command, CUTTER, "a_0.mp4", *arguments)
    assert done.returncode == 0, done.stderr
    counts = read_summary(out)["splits"]["train"]
    assert counts == {"clips": 3, "crashed": 1, "too short": 1, "ok": 1}
    said = f"{face_videos / 'train/real/a_0.mp4'}: 2 worker processes died over it (SIGKILL)"
    assert done.stderr.count(said) == 1 and said in (out / "report.md").read_text()


@pytest.mark.slow
def test_a_video_that_hangs_costs_itself_alone(
    face_videos: Path, tmp_path: Path, run_with_a_death: Any
) -> None:
    out = tmp_path / "out"
    command = "keras_ddl.data.prepare"
    arguments = [face_videos, "--out", out, *OPTIONS, "--processes", "1", "--file-timeout", "12"]
    done = run_with_a_death(command, CUTTER, "short_0", *arguments, hang=600)
    assert done.returncode == 0, done.stderr
    counts = read_summary(out)["splits"]["train"]
    assert counts == {"clips": 6, "timeout": 1, "ok": 2}
    said = f"{face_videos / 'train/real/short_0.mp4'}: not done after 12 s, the bound on time"
    assert said in (out / "report.md").read_text()


def test_files_that_come_and_go_cost_no_finished_video(
    face_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contents: Any
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(face_videos), str(out), "after three videos"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (face_videos / "val/real/text_0.mp4").unlink()
    (face_videos / "train/real/short_0.mp4").unlink()  # one of the three that are finished
    shutil.copy(face_videos / "train/real/a_0.mp4", face_videos / "train/real/0_0.mp4")
    undisturbed = _prepare(face_videos, tmp_path / "undisturbed")
    seen = note_cuts(monkeypatch)
    _prepare(face_videos, out)
    assert sorted(seen) == ["0_0.mp4", "empty_0.mp4", "wall_1.mp4"]
    assert contents(out) == contents(undisturbed)
    assert not (out / "parts").exists()


FULL = """
import resource, signal, sys
from keras_ddl.data import prepare
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
sys.exit(prepare.main(sys.argv[2:]))
"""


def test_a_disk_that_takes_no_more_is_one_line_and_nothing_is_lost(
    face_videos: Path, tmp_path: Path
) -> None:
    """As far as a process can be shown one without a disk of its own: files may not grow."""
    out = tmp_path / "out"
    words = [str(face_videos), "--out", str(out), "--size", "32", "--clips-per-video", "3"]
    command = [sys.executable, "-c", FULL, "12000", *words, "--processes", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and ".tfrecord" in lines[0] and "Traceback" not in done.stderr
    assert not out.exists()
    again = [sys.executable, "-m", "keras_ddl.data.prepare", *words, "--processes", "0"]
    subprocess.run(again, check=True, capture_output=True)
    assert read_summary(out)["splits"]


TOGETHER = """
import os, signal, sys
from keras_ddl.data.shards import cut_parts, part
part.FILES, part.LONGEST = 0, 1 << 30  # all videos of a split in one part
inner = cut_parts.cut_video
def dying(path, *args, **kwargs):
    if path.name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
    return inner(path, *args, **kwargs)
cut_parts.cut_video = dying
if __name__ == "__main__":
    from keras_ddl.data import prepare
    sys.exit(prepare.main(sys.argv[2:]))
"""


def test_a_video_that_kills_its_worker_costs_none_of_those_in_its_part(
    face_videos: Path, tmp_path: Path
) -> None:
    out, script = tmp_path / "out", tmp_path / "together.py"
    script.write_text(TOGETHER)
    line = [sys.executable, script, "short_0.mp4", face_videos, "--out", out, *OPTIONS]
    done = subprocess.run([*map(str, line)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "3 videos are done again, one by one: 2 worker processes died" in done.stderr
    assert read_summary(out)["splits"] == {
        "train": {"clips": 6, "ok": 2, "crashed": 1},
        "val": {"clips": 0, "unreadable": 2, "no face": 1},
        "test": {"clips": 0},
    }
    assert len(read_summary(out)["shards"]["train"]) == 2
    again = subprocess.run([*map(str, line)], capture_output=True, text=True, check=False)
    assert again.returncode == 0 and "is up to date" in again.stderr
