"""The command on live sources as they are on a bad day: dead, frozen, resized, never read.

And on a screen, which is no `service` here: what it needs beside Xvfb (onnx) no device has.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback_camera import FROZEN, LoopbackCamera
from x_display import XDisplay

pytest.importorskip("cv2")
pytest.importorskip("av")

from deploy.sources.synthetic import Scene, draw_loop

pytestmark = pytest.mark.usefixtures("haar")  # the detector of most of them

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "deploy" / "stream.py"
PLAYER = ROOT / "tests" / "deploy" / "sources" / "services" / "screen_player.py"
LONG_S = 60.0
END_S = 5.0  # 2 s are promised; machines are busy


@pytest.fixture
def watching(
    filmed_bundle: Path, environment: dict[str, str]
) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command on sources; ended at the end of the test whatever happens."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
        fixed = ("--bundle", filmed_bundle, "--detector", "haar", "--threads", "1")
        line = [sys.executable, str(SCRIPT), *map(str, (*fixed, *arguments))]
        process = subprocess.Popen(
            line,
            env={**environment, **variables},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def end(process: subprocess.Popen[str], kind: signal.Signals = signal.SIGTERM) -> str:
    """Ask for the end; returns stderr."""
    os.kill(process.pid, kind)
    asked = time.monotonic()
    process.wait(timeout=LONG_S)
    assert time.monotonic() - asked < END_S
    return process.stderr.read()


def records(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file that is still written to."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def wait_for(path: Path, what: Callable[[list[dict[str, Any]]], Any]) -> None:
    until = time.monotonic() + LONG_S
    while not what(records(path)):
        assert time.monotonic() < until, records(path)[-5:]
        time.sleep(0.1)


def of(rows: list[dict[str, Any]], source: str, kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if (row["source"], row["type"]) == (source, kind)]


def beyond(rows: list[dict[str, Any]], source: str, x: float) -> list[dict[str, Any]]:
    """The clips whose box ends to the right of a column."""
    return [row for row in of(rows, source, "clip") if row["box"][0] + row["box"][2] > x]


@contextmanager
def dead_end() -> Iterator[int]:
    """A port on which connections are accepted and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_one_of_four_is_dead_one_freezes_one_changes_size_and_the_fourth_does_not_notice(
    watching: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    small, large = Scene(size=(320, 240), seed=1), Scene(size=(480, 360), seed=2)
    frozen, resized = (LoopbackCamera(draw_loop(small), fps=25.0) for _ in range(2))
    streams, out = tmp_path / "streams.toml", tmp_path / "out.jsonl"
    sources = {
        "well": "synthetic://?size=320x240&seed=3",
        "dead": "rtsp://viewer:${DOOR_PASSWORD}@127.0.0.1:9/x",
        "frozen": frozen.url,
        "resized": resized.url,
    }
    tables = [f'[[source]]\nname = "{name}"\nurl = "{url}"\n' for name, url in sources.items()]
    streams.write_text("".join(table + "frozen_s = 0.5\n" for table in tables))
    process = watching(
        "--config", streams, "--jsonl", out, "--every", "0.3", DOOR_PASSWORD="s3cret"
    )
    for name in ("well", "frozen", "resized"):
        wait_for(out, lambda rows, name=name: len(of(rows, name, "clip")) >= 2)
    before = {name: len(of(records(out), name, "clip")) for name in sources}
    tracks = {row["track"] for row in of(records(out), "resized", "clip")}
    frozen.mode = FROZEN
    resized.pictures = draw_loop(large)
    wait_for(out, lambda rows: beyond(rows, "resized", x=260))  # where the larger face is
    wait_for(out, lambda rows: len(of(rows, "well", "clip")) >= before["well"] + 10)
    stderr = end(process)
    assert process.returncode == 130
    rows = records(out)
    assert of(rows, "dead", "clip") == []
    assert [row["ended"] for row in of(rows, "dead", "end")] == ["stopped"]
    last = of(rows, "frozen", "clip")[-1]["time_ms"]  # it was judged no more when it had frozen
    assert last < of(rows, "well", "clip")[-1]["time_ms"] - 1000.0
    assert of(rows, "frozen", "end")[0]["dropped"] > 0
    assert "frozen" in stderr
    assert not {row["track"] for row in beyond(rows, "resized", x=260)} & tracks
    assert "s3cret" not in stderr + out.read_text(encoding="utf-8")
    assert "Traceback" not in stderr
    for camera in (frozen, resized):
        camera.close()


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_it_ends_at_once_while_the_first_connection_hangs(
    watching: Callable[..., subprocess.Popen[str]], scheme: str
) -> None:
    with dead_end() as port:
        process = watching("--source", f"{scheme}://127.0.0.1:{port}/x")
        assert process.stderr.readline()  # the face detector is named
        assert "model" in process.stderr.readline()
        time.sleep(1.0)  # it hangs by now
        assert process.poll() is None
        end(process)
    assert process.returncode == 130


@pytest.mark.slow
def test_a_reader_that_never_reads_holds_up_nothing_but_its_lines(
    watching: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """The pipe is full after some two hundred lines; the video goes on, and so does the end."""
    process = watching(
        "--source",
        "synthetic://?size=320x240&faces=4",
        "--every",
        "0.04",
        "--save",
        tmp_path / "out.mp4",
        "--max-seconds",
        "600",
    )
    growing = tmp_path / ".out.part.mp4"
    until = time.monotonic() + LONG_S
    sizes: list[int] = []
    while len(sizes) < 28 and time.monotonic() < until:
        time.sleep(0.25)
        if growing.exists():
            sizes.append(growing.stat().st_size)
    assert sizes[-1] > sizes[len(sizes) // 2] > 0
    stderr = end(process)
    assert process.returncode == 130
    assert (tmp_path / "out.mp4").stat().st_size >= sizes[-1]
    assert "jsonl did not finish in time" in stderr
    assert "Traceback" not in stderr


def test_what_is_not_there_at_first_is_waited_for_if_asked(
    watching: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    url, out = f"http://127.0.0.1:{port}/live", tmp_path / "out.jsonl"
    process = watching("--source", url, "--keep-trying", "--jsonl", out, "--every", "0.3")
    for line in process.stderr:
        if "trying again" in line:
            break
    camera = LoopbackCamera(draw_loop(Scene(size=(320, 240))), fps=25.0, port=port)
    wait_for(out, lambda rows: of(rows, url, "clip"))
    end(process)
    camera.close()


@pytest.fixture
def call() -> Iterator[str]:
    """An X display with a window at (100, 60), 640 × 480, in which a drawn face is shown."""
    pytest.importorskip("mss")
    pytest.importorskip("xcffib")
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb: scripts/services.sh")
    display = XDisplay("1280x720")
    player = subprocess.Popen(
        [sys.executable, str(PLAYER), "--title", "A call", "--at", "100,60"],
        env={**os.environ, "DISPLAY": display.number, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert player.stdout.readline() == "ready\n"
    yield display.number
    player.kill()
    player.wait()
    player.stdout.close()
    display.close()


@pytest.mark.parametrize(
    ("text", "left", "top"),
    [("screen://0", 100, 60), ("screen://0?window=A call", 0, 0)],
)
def test_a_face_on_the_screen_is_found_where_it_is_and_judged(
    watching: Callable[..., subprocess.Popen[str]],
    call: str,
    tmp_path: Path,
    text: str,
    left: int,
    top: int,
) -> None:
    out = tmp_path / "out.jsonl"
    process = watching("--source", text, "--jsonl", out, "--every", "0.3", DISPLAY=call)
    wait_for(out, lambda rows: of(rows, text, "clip") and of(rows, text, "verdict"))
    stderr = end(process)
    assert process.returncode == 130 and "Traceback" not in stderr
    x, y, width, height = of(records(out), text, "clip")[0]["box"]
    assert left < x and x + width < left + 640  # within the window
    assert top < y and y + height < top + 480
    assert left + 200 < x + width / 2 < left + 440  # people of `synthetic://` sit in the middle


def test_a_screen_that_is_not_there_ends_in_one_line(
    watching: Callable[..., subprocess.Popen[str]],
) -> None:
    pytest.importorskip("mss")
    pytest.importorskip("xcffib")
    process = watching("--source", "screen://0")
    assert process.wait(timeout=LONG_S) == 3
    assert process.stderr.read().splitlines() == [
        "error: cannot open screen://0: expected an X display, received none (DISPLAY is not set); "
        "start this in the session whose screen is to be watched, or name its display: DISPLAY=:0"
    ]
