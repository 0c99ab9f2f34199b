"""Annotated video: constant rate in true time, one file per source, full disks, kill -9."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from deploy.sinks import AnnotatedVideo, Output
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame, VideoWriter, probe, read_video
from keras_ddl.edge.video.writer import cut_to_whole_fragments

pytest.importorskip("av")
ROOT = Path(__file__).resolve().parents[3]
STEP = 5  # brightness between two pictures


def picture(number: int, width: int = 64) -> np.ndarray:
    """A grey picture that can be told from its neighbours after compression."""
    return np.full((48, width, 3), 20 + STEP * (number % 40), np.uint8)


def output(number: int, time_ms: float, source: str = "door", width: int = 64) -> Output:
    shown = picture(number, width)
    return Output(frame=Frame(shown, time_ms, number), picture=shown, source=source)


def numbers(path: Path) -> list[int]:
    """Which pictures a file shows."""
    return [round((frame.image.mean() - 20) / STEP) for frame in read_video(path)]


def is_constant(path: Path, fps: float) -> bool:
    times = [frame.time_ms for frame in read_video(path)]
    return np.allclose(np.diff(times), 1000 / fps, atol=0.02) and times[0] == 0


def save(path: Path, times: list[float], **options: float) -> None:
    with AnnotatedVideo(path, **options) as sink:
        sink.open()
        for number, time_ms in enumerate(times):
            sink.write(output(number, time_ms))


@pytest.mark.parametrize(
    ("times", "shown"),
    [
        # a file at 25 fps: every frame at its own time
        ([40.0 * n for n in range(10)], list(range(10))),
        # a camera that jitters by less than a frame and began at some time
        ([1000 + 40.0 * n + (-1) ** n * 15 for n in range(10)], list(range(10))),
        # three frames dropped: the one before is repeated
        ([0, 40, 80, 240, 280], [0, 1, 2, 2, 2, 2, 3, 4]),
        # 12.5 fps in a file of 25
        ([80.0 * n for n in range(5)], [0, 0, 1, 1, 2, 2, 3, 3, 4]),
        # 50 fps in a file of 25: every other one is left out
        ([20.0 * n for n in range(10)], [0, 1, 3, 5, 7, 9]),
    ],
    ids=["exact", "jitter", "dropped", "slow", "fast"],
)
def test_the_rate_is_constant_and_the_time_true(
    tmp_path: Path, times: list[float], shown: list[int]
) -> None:
    save(tmp_path / "out.mp4", times)
    assert numbers(tmp_path / "out.mp4") == shown
    assert is_constant(tmp_path / "out.mp4", 25)
    assert probe(tmp_path / "out.mp4").frames == len(shown)


@pytest.mark.parametrize("fps", [24000 / 1001, 10.0, 30.0])
def test_time_stays_true_at_another_rate(tmp_path: Path, fps: float) -> None:
    """A camera that calls itself 25 fps and delivers another rate, with chance in it."""
    rng = np.random.default_rng(0)
    count = round(20 * fps)
    times = np.sort(np.arange(count) * 1000 / fps + rng.uniform(-3, 3, count))
    path = tmp_path / "out.mp4"
    save(path, times.tolist())
    assert is_constant(path, 25)
    shown = numbers(path)
    assert len(shown) == pytest.approx((times[-1] - times[0]) / 40, abs=2)
    begun = times[0]
    laps = 0  # brightness repeats every 40 pictures
    for place, (before, now) in enumerate(pairwise(shown), start=1):
        laps += now < before
        true_ms = times[min(now + 40 * laps, count - 1)] - begun
        assert abs(true_ms - 40 * place) <= max(1000 / fps, 40) + 10


def test_each_source_has_its_own_file_and_rate(tmp_path: Path) -> None:
    rates = {"door": 25.0, "rtsp://***@yard/1": 10.0}
    with AnnotatedVideo(tmp_path / "out.mp4", sources=list(rates)) as sink:
        sink.open()
        for source, fps in rates.items():
            sink.write(Output(({"type": "start", "source": source, "fps": fps},), source=source))
        for number in range(10):
            sink.write(output(number, 40.0 * number))
            sink.write(output(number, 100.0 * number, "rtsp://***@yard/1"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out-door.mp4",
        "out-rtsp-yard-1.mp4",
    ]
    assert is_constant(tmp_path / "out-door.mp4", 25)
    assert is_constant(tmp_path / "out-rtsp-yard-1.mp4", 10)
    assert numbers(tmp_path / "out-rtsp-yard-1.mp4") == list(range(10))


@pytest.mark.parametrize(("said", "used"), [(10.0, 10.0), (None, 25.0), (90000.0, 25.0)])
def test_the_rate_can_come_from_the_start_record(
    tmp_path: Path, said: float | None, used: float
) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4") as sink:
        sink.write(Output(({"type": "start", "source": "door", "fps": said},), source="door"))
        for number in range(5):
            sink.write(output(number, 1000 / used * number))
    assert is_constant(tmp_path / "out.mp4", used)
    assert numbers(tmp_path / "out.mp4") == list(range(5))


def test_placeholders_name_source_and_start(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "{source}_{start}.mkv") as sink:
        sink.open()
        sink.write(output(0, 0))
    (found,) = tmp_path.iterdir()
    assert re.fullmatch(r"door_\d{8}T\d{6}Z\.mkv", found.name)


def test_another_size_and_a_long_pause_begin_a_new_file(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4") as sink:
        for number in range(5):
            sink.write(output(number, 40.0 * number))
        for number in range(5, 10):
            sink.write(output(number, 40.0 * number, width=32))
        for number in range(10, 13):
            sink.write(output(number, 40.0 * number + 3_600_000, width=32))
    files = [tmp_path / name for name in ("out.mp4", "out-2.mp4", "out-3.mp4")]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    assert [numbers(path) for path in files] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12]]
    assert [probe(path).width for path in files] == [64, 32, 32]


def test_minutes_split_by_time_without_losing_a_frame(tmp_path: Path) -> None:
    save(tmp_path / "out.mp4", [40.0 * n for n in range(35)], minutes=0.4 / 60)  # 10 frames
    names = ("out.mp4", "out-2.mp4", "out-3.mp4", "out-4.mp4")
    assert [numbers(tmp_path / name) for name in names] == [
        list(range(begin, min(begin + 10, 35))) for begin in range(0, 40, 10)
    ]


@pytest.mark.parametrize(
    ("name", "words"),
    [("no/folder.mp4", "expected an existing folder"), ("out.avi", "expected a video")],
)
def test_wrong_paths_end_the_run_at_once(tmp_path: Path, name: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        AnnotatedVideo(tmp_path / name).open()


def test_nothing_written_is_no_file(tmp_path: Path) -> None:
    with AnnotatedVideo(tmp_path / "out.mp4") as sink:
        sink.open()
        sink.write(Output())
    assert list(tmp_path.iterdir()) == []


NOISE = """
import logging, os, resource, signal, sys
import numpy as np
from deploy.sinks import AnnotatedVideo, Output
from keras_ddl.edge.video import Frame
logging.basicConfig(level=logging.WARNING, format="%(message)s")
rng = np.random.default_rng(0)
everything = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
def pictures(begin, end, step=40.0):
    for n in range(begin, end):
        shown = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
        sink.write(Output(frame=Frame(shown, step * n, n), picture=shown))
sink = AnnotatedVideo(sys.argv[1])
"""
FULL = f"""{NOISE}
resource.setrlimit(resource.RLIMIT_FSIZE, (1_200_000, everything))
pictures(0, 500)  # about 6 kB each: full within the first 250, and again in between
resource.setrlimit(resource.RLIMIT_FSIZE, (everything, everything))
pictures(500, 700)
sink.close()
"""


def test_a_full_disk_closes_what_there_is_and_a_new_file_follows(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    line = [sys.executable, "-c", FULL, str(tmp_path / "out.mp4")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first = list(read_video(tmp_path / "out.mp4"))
    assert len(first) >= 50  # two seconds and more, whole
    assert is_constant(tmp_path / "out.mp4", 25)
    assert (tmp_path / "out.mp4").stat().st_size <= 1_200_000
    last = sorted(tmp_path.iterdir())[0 if len(list(tmp_path.iterdir())) == 1 else -2]
    assert last.name.startswith("out-")
    assert len(list(read_video(last))) > 50
    assert not list(tmp_path.glob(".*"))
    said = [("trying again" in text, "room again" in text) for text in done.stderr.splitlines()]
    assert said.count((True, False)) == said.count((False, True)) == len(said) / 2 >= 1


def test_after_kill_9_what_was_written_can_be_played(tmp_path: Path) -> None:
    code = f"{NOISE}\npictures(0, 400)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    line = [sys.executable, "-c", code, str(tmp_path / "out.mp4")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    left = tmp_path / ".out.part.mp4"
    assert cut_to_whole_fragments(left)
    frames = list(read_video(left))
    assert 325 <= len(frames) < 400  # but for the last three seconds
    np.testing.assert_allclose([f.time_ms for f in frames], 40.0 * np.arange(len(frames)), atol=1)


def test_any_cut_leaves_a_file_of_whole_fragments(tmp_path: Path) -> None:
    """Cut a fragmented file at many places; what is left decodes without a complaint."""
    path = tmp_path / "v.mp4"
    rng = np.random.default_rng(1)
    with VideoWriter(path, 25, rescue=True) as writer:
        for _ in range(160):
            writer.write(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        writer.write(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
        whole = (tmp_path / ".v.part.mp4").read_bytes()  # as it is before it is finished
    playable, counts = 0, set()
    for size in sorted(rng.integers(0, len(whole), 25)):
        (tmp_path / "cut.mp4").write_bytes(whole[:size])
        if cut_to_whole_fragments(tmp_path / "cut.mp4"):
            playable += 1
            times = [frame.time_ms for frame in read_video(tmp_path / "cut.mp4")]
            np.testing.assert_allclose(times, 40.0 * np.arange(len(times)), atol=1)
            counts.add(len(times))
            assert os.path.getsize(tmp_path / "cut.mp4") <= size
    assert playable > 10
    assert len(counts) <= 3  # as many as there were fragments
    assert max(counts) >= 95
    assert len(list(read_video(path))) == 161
