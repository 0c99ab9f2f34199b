"""Timed processes answer in their own time, and their end is told in one line."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.timed_process import Answers, OtherPython, TimedProcess, peak_of, timed_in_turn
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError


def counter(start: int) -> Answers:
    state = [start]

    def count() -> dict[str, int]:
        state[0] += 1
        return {"count": state[0]}

    def lack() -> None:
        raise UserError("out of patience", MISSING)

    return {"count": count, "lack": lack, "fail": lambda: [][0], "die": lambda: os._exit(9)}


def test_each_keeps_its_own_state() -> None:
    with TimedProcess(counter, 0) as one, TimedProcess(counter, 10) as two:
        one.tell("count")
        assert two.ask("count") == {"count": 11}
        assert one.answer() == {"count": 1}
        assert one.ask("count") == {"count": 2}


@pytest.mark.parametrize(
    ("word", "end"),
    [
        ("lack", "3: out of patience"),
        ("fail", "1: IndexError: list index out of range"),
        ("die", "9: nothing"),  # as one does that the system has killed
    ],
)
def test_an_end_is_one_line(word: str, end: str) -> None:
    with TimedProcess(counter, 0) as one:
        with pytest.raises(UserError, match=f"ended with exit code {end}$"):
            one.ask(word)
        with pytest.raises(UserError, match="ended with exit code"):
            one.ask("count")


def noted(file: Path) -> Callable[[], Any]:
    def run() -> None:
        with file.open("a") as notes:
            notes.write(f"{os.getpid()}\n")

    return run


def test_two_runs_of_each_are_not_timed(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("one", "two")}
    subjects = {name: partial(noted, file) for name, file in files.items()}
    seconds, memory = timed_in_turn(subjects, rounds=3)
    runs = {name: file.read_text().split() for name, file in files.items()}
    assert {name: len(pids) for name, pids in runs.items()} == {"one": 5, "two": 5}
    assert len({str(os.getpid()), *runs["one"], *runs["two"]}) == 3  # each in one of its own
    assert {name: len(times) for name, times in seconds.items()} == {"one": 3, "two": 3}
    assert all(second > 0 for times in seconds.values() for second in times)
    assert all(row["peak_mib"] > row["step_mib"] >= 0 for row in memory.values())


def grown(mib: int) -> None:
    assert np.ones(mib << 20, np.uint8).all()


def test_peak_memory_is_that_of_the_call_alone() -> None:
    here = np.ones(500 << 20, np.uint8)
    little, much = peak_of(grown, 1), peak_of(grown, 200)
    assert little + 150 < much < little + 250
    assert little < here.nbytes / 2**20


ECHO = (
    "import json, sys\nfor line in sys.stdin: print(json.dumps({'said': line.strip()}), flush=True)"
)


def test_another_interpreter_answers_lines_of_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "echoing.py").write_text(ECHO)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with OtherPython(Path(sys.executable), "echoing") as other:
        assert other.ask("run") == {"said": "run"}
        assert other.ask("memory") == {"said": "memory"}
    with (
        OtherPython(Path(sys.executable), "echoing_not") as none,
        pytest.raises(UserError, match="echoing_not`, it ended with 1") as caught,
    ):
        none.ask("run")
    assert caught.value.exit_code == CHECK_FAILED
    with pytest.raises(UserError, match="expected a Python, received '/no/python'"):
        OtherPython(Path("/no/python"), "echoing")


def test_processor_time_does_not_count_sleep() -> None:
    seconds, _ = timed_in_turn({"sleep": partial(sleeper, 0.2)}, 1, time.process_time)
    assert seconds["sleep"][0] < 0.1


def sleeper(seconds: float) -> Callable[[], None]:
    return partial(time.sleep, seconds)
