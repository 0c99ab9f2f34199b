"""Clips per second of bundles: one turn each, and numbers that agree with one another."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import median
from typing import Any

import pytest

pytest.importorskip("onnxruntime")

from export import clips_per_second
from export.clips_per_second import main, measured, summary, table


@pytest.fixture
def two_bundles(tiny_bundle: Path, tmp_path: Path) -> list[Path]:
    return [tiny_bundle, shutil.copytree(tiny_bundle, tmp_path / "second")]


def test_the_command_prints_and_writes_what_it_measured(
    two_bundles: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "speeds" / "clips.json"
    names = [str(path) for path in two_bundles]
    assert main([*names, "--rounds", "3", "--threads", "1", "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert list(result) == names
    for row in result.values():
        assert row.keys() == {"clips_per_second", "seconds"}
        assert len(row["seconds"]) == 3 and min(row["seconds"]) > 0
        assert row["clips_per_second"] == 1 / median(row["seconds"])
    assert list(out.parent.iterdir()) == [out], "nothing half-written is left"
    printed = capsys.readouterr().out
    assert table(result) in printed and "1 threads, medians of 3 rounds" in printed


class Clock:
    """Each reading is a tick later, and a round that is told to be slow takes ten."""

    def __init__(self, ticks: list[float]) -> None:
        self.ticks, self.now, self.read = ticks, 0.0, 0

    def __call__(self) -> float:
        self.read += 1
        if self.read % 2 == 0:  # the end of a run
            self.now += self.ticks[self.read // 2 - 1]
        return self.now


def test_bundles_take_turns(
    tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.symlink_to(tiny_bundle)
    clock = Clock([1.0, 2.0, 10.0, 20.0, 3.0, 6.0])
    monkeypatch.setattr(clips_per_second, "perf_counter", clock)
    seconds = measured([tiny_bundle, other], threads=1, rounds=3)
    assert seconds == {str(tiny_bundle): [1.0, 10.0, 3.0], str(other): [2.0, 20.0, 6.0]}
    assert clock.read == 12, "the first run of each is not timed"


def test_the_median_decides() -> None:
    assert summary([0.5, 10.0, 0.25]) == {"clips_per_second": 2.0, "seconds": [0.5, 10.0, 0.25]}
    assert summary([0.5, 0.25, 0.75, 1.0])["clips_per_second"] == 1 / 0.625


def test_the_table_compares_with_the_first_round_by_round() -> None:
    result = {"runs/a": summary([0.5, 5.0, 0.5]), "b": summary([0.25, 1.25, 0.125])}
    lines = table(result).splitlines()
    assert [line.split() for line in lines] == [
        ["bundle", "clips/s", "p50", "ms", "×", "first"],
        ["runs/a", "2.00", "500.0", "1.00"],
        ["b", "4.00", "250.0", "4.00"],  # 2, 4 and 4 times as fast
    ]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["GOOD", "nowhere"], 3, "expected model.onnx in bundle 'nowhere', found none"),
        (["GOOD", "GOOD"], 2, "expected each bundle once"),
        (["GOOD", "--rounds", "0"], 2, "expected --rounds of at least 1"),
        (["GOOD", "--threads", "0"], 2, "expected --threads of at least 1"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: list[str], code: int, says: str, tiny_bundle: Path, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.json"
    given = [str(tiny_bundle) if word == "GOOD" else word for word in arguments]
    assert main([*given, "--out", str(out)]) == code
    error = capsys.readouterr().err
    assert error.startswith(f"error: {says}") and error.count("\n") == 1
    assert not out.exists()
