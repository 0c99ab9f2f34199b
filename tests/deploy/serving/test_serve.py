"""`deploy/serve.py` as a command: what it keeps, how it ends, and mistakes in one line."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import serve

ROOT = Path(__file__).resolve().parents[3]


def test_the_bundle_here_is_the_one_of_the_other_tests(
    bundle: Path, synthetic_bundle: Path, brightness: Callable[[np.ndarray], np.ndarray]
) -> None:
    onnx = pytest.importorskip("onnx")
    ours, theirs = (onnx.load(folder / "model.onnx") for folder in (bundle, synthetic_bundle))
    onnx.checker.check_model(ours)
    del ours.metadata_props[:], theirs.metadata_props[:]
    for model in (ours, theirs):
        for one in model.graph.initializer:  # floats may stand in either of two fields
            one.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(one), one.name))
    assert ours == theirs


def test_results_are_kept_where_that_was_asked_for(
    start: Any, face_video: Path, tmp_path: Path
) -> None:
    keep = tmp_path / "kept"
    with start.one("--keep", keep) as client:
        identity = client.judge(face_video.read_bytes(), "face.mp4")["id"]
        with pytest.raises(serve.UserError, match="another one keeps results in") as caught:
            start("--keep", keep)
        assert caught.value.exit_code == 2
    assert not list(keep.rglob("video")) and not (keep / ".work").exists()
    (keep / ".work" / "left").mkdir(parents=True)  # by a server that was killed
    with start.one("--keep", keep, "--keep-videos") as client:
        assert client.json(f"/api/v1/videos/{identity}")["name"] == "face.mp4"
        result = client.json(f"/api/v1/videos/{identity}/result")
        picture = f"/api/v1/videos/{identity}/pictures/{result['faces'][0]['picture']}"
        assert client.ask(picture)[0] == 200
        other = client.judge(face_video.read_bytes())["id"]
        assert (keep / other / "video").read_bytes() == face_video.read_bytes()
        listed = [video["id"] for video in client.json("/api/v1/videos")["videos"]]
        assert listed == [other, identity]
        assert client.ask(f"/api/v1/videos/{identity}", "DELETE")[0] == 204
        assert not (keep / identity).exists()
        (keep / other / "result.json").write_text("{")  # somebody's hand
        assert client.ask(f"/api/v1/videos/{other}")[0] == 404


def begin(words: list[str], folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the command; returns it, and its address."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    line = [sys.executable, str(ROOT / "deploy" / "serve.py"), *words]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    for said in process.stderr:
        if found := re.fullmatch(r"serve: (http://127\.0\.0\.1:\d+/)\n", said):
            return process, found[1]
    raise AssertionError(process.wait())


def test_nothing_is_left_at_the_end_or_by_the_next_start(
    call: Callable[..., list[str]], tmp_path: Path, long_video: Path, processes: Any
) -> None:
    killed, address = begin(call(), tmp_path)
    request = urllib.request.Request(f"{address}api/v1/videos", b"a text", method="POST")
    assert urllib.request.urlopen(request, timeout=10).status == 202
    assert len(list(tmp_path.iterdir())) == 1
    workers = processes.children(killed.pid)
    killed.kill()
    killed.communicate()
    assert processes.end(workers)
    (left,) = tmp_path.iterdir()
    ended, address = begin(call(), tmp_path)
    assert not left.exists() and len(list(tmp_path.iterdir())) == 1
    request = urllib.request.Request(f"{address}api/v1/videos", long_video.read_bytes())
    assert urllib.request.urlopen(request, timeout=10).status == 202
    while not (workers := processes.children(ended.pid)):  # it is being judged
        time.sleep(0.02)
    ended.send_signal(signal.SIGTERM)
    assert ended.communicate()[1].endswith("interrupted\n")
    assert ended.returncode == 130
    assert processes.end(workers)
    assert list(tmp_path.iterdir()) == []


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code of a command line, and its last line on stderr."""
    code = serve.main(words)
    return code, capsys.readouterr().err.splitlines()[-1]


def test_mistakes_are_one_line(
    call: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, line = said([*call(), "--bundle", str(tmp_path / "none")], capsys)
    assert (code, line.startswith("error: expected model.onnx in bundle")) == (3, True)
    code, line = said(call("--keep-videos"), capsys)
    assert (code, "expected --keep DIR" in line) == (2, True)
    (tmp_path / "file").touch()
    code, line = said(call("--keep", tmp_path / "file"), capsys)
    assert (code, "name another --keep" in line) == (2, True)
    code, line = said(call("--address", "nonsense::"), capsys)
    assert (code, "expected HOST:PORT for --address" in line) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for check in ((), ("--check",)):
            code, line = said(call("--address", f"127.0.0.1:{port}", *check), capsys)
            assert (code, "name another with --address HOST:PORT" in line) == (3, True)
    code, line = said(call("--check"), capsys)
    assert (code, line.startswith("could serve at 127.0.0.1:0 with model ")) == (0, True)


def test_a_check_looks_at_the_folder_and_leaves_nothing(
    call: Callable[..., list[str]], start: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, held, free = (tmp_path / name for name in ("file", "held", "free"))
    file.touch()
    free.mkdir()
    start("--keep", held)
    before = sorted(tmp_path.rglob("*"))
    for keep, expected, words in (
        (free, 0, "could serve at"),
        (tmp_path / "new" / "one", 0, "could serve at"),
        (file, 2, "expected a folder for results, received"),
        (file / "below", 2, "name another --keep"),
        (held, 2, "another one keeps results in"),
    ):
        code, line = said(call("--check", "--keep", keep), capsys)
        assert (code, words in line) == (expected, True), line
    assert sorted(tmp_path.rglob("*")) == before
