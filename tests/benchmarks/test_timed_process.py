"""Timed processes answer in their own time, and their end is told in one line."""

from __future__ import annotations

import sys

import pytest

from benchmarks.timed_process import TimedProcess, timed_in_turn
from keras_ddl.edge.errors import UserError

COUNTER = """
import sys
from benchmarks.timed_process import serve
state = [int(sys.argv[1])]
def count():
    state[0] += 1
    return {"count": state[0]}
def fail():
    sys.exit("error: out of patience")
serve({"count": count, "fail": fail})
"""


def counter(start: int) -> TimedProcess:
    return TimedProcess([sys.executable, "-c", COUNTER, str(start)])


def test_each_keeps_its_own_state() -> None:
    with counter(0) as one, counter(10) as two:
        one.tell("count")
        assert two.ask("count") == {"count": 11}
        assert one.answer() == {"count": 1}
        assert one.ask("count") == {"count": 2}


def test_an_end_is_one_line() -> None:
    with counter(0) as one:
        with pytest.raises(UserError, match="ended with exit code 1: out of patience"):
            one.ask("fail")
        with pytest.raises(UserError, match="ended with exit code 1"):
            one.ask("count")


RUNNER = """
import sys
from benchmarks.timed_process import serve_run
runs = []
serve_run(lambda: runs.append(None), lambda: [sys.argv[1], len(runs)])
"""


def test_two_runs_of_each_are_not_timed() -> None:
    commands = {name: [sys.executable, "-c", RUNNER, name] for name in ("one", "two")}
    seconds, memory = timed_in_turn(commands, rounds=3)
    assert memory == {"one": ["one", 5], "two": ["two", 5]}
    assert {name: len(times) for name, times in seconds.items()} == {"one": 3, "two": 3}
    assert all(second > 0 for times in seconds.values() for second in times)
