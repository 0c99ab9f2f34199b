"""JSON Lines: rotation, wrong paths, a full disk, a killed writer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.sinks import JsonLines, Output
from keras_ddl.edge.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


def record(kind: str, source: str = "door", **fields: object) -> dict[str, Any]:
    shared = {"time_ms": 0.0, "source": source, "model_id": "0123456789ab", "domain": "synthetic"}
    return {"type": kind, **shared, **fields}


def lines(path: Path) -> list[dict[str, Any]]:
    """Every line of a file; one that is split or unfinished is no JSON."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def test_rotation_never_splits_a_line_and_repeats_who_speaks(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    with JsonLines(path, max_bytes=1500, keep=3) as sink:
        sink.open()
        sink.write(Output((record("start"), record("start", "yard"))))
        for number in range(60):
            sink.write(Output((record("clip", number=number, text="ü" * (number % 17)),)))
            if number == 40:
                sink.write(Output((record("end", "yard"),)))
    files = [path.with_name(f"{path.name}.{number}") for number in (3, 2, 1)] + [path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    read = [lines(file) for file in files]
    assert all(file.stat().st_size <= 1500 for file in files)
    numbers = [line["number"] for part in read for line in part if line["type"] == "clip"]
    assert numbers == list(range(numbers[0], 60))  # the oldest are gone, nothing between is
    assert 0 < numbers[0]
    for part in read:
        starts = [line for line in part if line["type"] == "start"]
        assert part[: len(starts)] == starts
        assert all(line["continued"] for line in starts)
    assert [line["source"] for line in read[0][:2]] == ["door", "yard"]
    assert [line["source"] for line in read[-1] if line["type"] == "start"] == ["door"]


def test_a_line_longer_than_a_file_has_one_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    with JsonLines(path, max_bytes=100, keep=9) as sink:
        sink.write(Output((record("start"), record("clip", n=1), record("clip", n=2))))
    for number, file in enumerate((path, tmp_path / "v.jsonl.1"), start=1):
        assert [line.get("n") for line in lines(file)] == [None, 3 - number]


def test_without_rotation_a_run_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    for number in range(2):
        with JsonLines(path) as sink:
            sink.write(Output((record("clip", n=number),)))
    assert [line["n"] for line in lines(path)] == [1]


@pytest.mark.parametrize("tail", ['{"type":"cl', "x" * 200_000])
def test_with_rotation_a_run_continues_and_cuts_an_unfinished_line(
    tmp_path: Path, tail: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "v.jsonl"
    path.write_text(json.dumps(record("clip", n=0)) + "\n" + tail)
    with JsonLines(path, max_bytes=10**6) as sink:
        sink.write(Output((record("clip", n=1),)))
    assert [line["n"] for line in lines(path)] == [0, 1]
    assert "unfinished" in caplog.text


def test_a_wrong_path_ends_the_run_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a file to write JSON Lines to"):
        JsonLines(tmp_path / "no" / "folder.jsonl").open()


def test_each_line_can_be_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "v.jsonl"
    with JsonLines(path) as sink:
        for number in range(3):
            sink.write(Output((record("clip", n=number),)))
            assert [line["n"] for line in lines(path)] == list(range(number + 1))


def test_a_reader_of_stdout_that_left_is_heard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    with pytest.raises(BrokenPipeError):
        JsonLines("-").write(Output((record("clip"),)))


def test_a_folder_that_forbids_rotation_costs_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refuse)
    path = tmp_path / "v.jsonl"
    with JsonLines(path, max_bytes=300) as sink:
        for number in range(10):
            sink.write(Output((record("clip", n=number),)))
    assert [line["n"] for line in lines(path)] == list(range(10))
    assert len(caplog.records) == 1


FULL = """
import json, logging, resource, sys
from deploy.sinks import JsonLines, Output
logging.basicConfig(level=logging.WARNING, format="%(message)s")
shared = {"model_id": "0123456789ab", "domain": "synthetic"}
everything = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, everything))
with JsonLines(sys.argv[1], int(sys.argv[2]) or None) as sink:
    for n in range(30):
        if n == 3:
            room(800)  # EFBIG in the middle of a line
        if n == 20:
            room(everything)
        if n == 29:
            room(0)
        source = "yard" if n % 5 == 0 else "door"
        line = {"type": "clip", "time_ms": 10.0 * n, "source": source, **shared, "n": n}
        sink.write(Output((line,)))
    room(everything)  # there is room again just before the end
"""


@pytest.mark.parametrize("max_bytes", [0, 10**6], ids=["replaced", "continued"])
def test_a_full_disk_leaves_a_gap_that_can_be_seen(tmp_path: Path, max_bytes: int) -> None:
    pytest.importorskip("resource")
    path = tmp_path / "v.jsonl"
    line = [sys.executable, "-c", FULL, str(path), str(max_bytes)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    read = lines(path)
    written = [line["n"] for line in read if line["type"] == "clip"]
    first = written.index(20)  # the first after the gap
    lost = sorted({*range(30)} - {*written})
    assert written == [*range(written[first - 1] + 1), *range(20, 29)]
    assert 3 < lost[0] < 19
    gaps = [line for line in read if line["type"] == "gap"]
    before = [line for line in gaps if line["time_ms"] < 200]
    assert {g["source"]: g["lost"] for g in before} == {
        "yard": sum(n % 5 == 0 for n in lost if n < 29),
        "door": sum(n % 5 != 0 for n in lost if n < 29),
    }
    assert min(gap["time_ms"] for gap in before) == 10.0 * lost[0]
    assert read[-1] == {**gaps[-1], "source": "door", "lost": 1, "time_ms": 290.0}
    assert {gap["model_id"] for gap in gaps} == {"0123456789ab"}
    assert len(done.stderr.splitlines()) == 3  # full, room again, full
