"""Worker processes: their results, what a dead one costs, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.process_pool import ProcessPool, tell_share, unordered_map

SQUARES = [*enumerate(n * n for n in range(20))]


def square(_: None, number: int) -> int:
    return number * number


def square_or_die(_: None, number: int) -> int:
    if number in (0, 7):
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 12:
        os._exit(3)
    return number * number


def fail(_: None, number: int) -> int:
    if number == 2:
        raise UserError("this one is not to be done", 4)
    return number


def tell_and_name(_: None, number: int) -> int:
    tell_share(0.5)
    return os.getpid()


def nothing() -> None:
    """Nothing to open."""


def die() -> None:
    os._exit(1)


def lost(number: int, how: str) -> str:
    return f"{number} was lost by {how}"


@pytest.mark.parametrize("processes", [1, 2])
def test_results_of_all_jobs(processes: int) -> None:
    assert sorted(unordered_map(square, range(20), processes, nothing, lost)) == SQUARES
    assert list(unordered_map(square, (), processes, nothing, lost)) == []


def test_a_job_that_kills_its_worker_costs_itself_alone() -> None:
    found = dict(unordered_map(square_or_die, range(20), 2, nothing, lost))
    assert {number: found.pop(number) for number in (0, 7, 12)} == {
        0: "0 was lost by SIGKILL",
        7: "7 was lost by SIGKILL",
        12: "12 was lost by code 3",
    }
    assert found.items() == {n: s for n, s in SQUARES if n not in (0, 7, 12)}.items()


def test_a_worker_that_cannot_start_ends_it_all() -> None:
    with pytest.raises(UserError, match=r"died before its first job \(code 1\)"):
        list(unordered_map(square, range(3), 2, die, lost))


def test_an_error_is_the_parents() -> None:
    with pytest.raises(UserError, match="not to be done") as caught:
        list(unordered_map(fail, range(9), 2, nothing, lost))
    assert caught.value.exit_code == 4
    assert "in fail" in str(caught.value.__cause__)  # where it was raised


def test_shares_are_told_and_one_process_does_its_jobs_in_order() -> None:
    told: list[tuple[int, float]] = []
    tell_share(0.1)  # nobody listens here
    with ProcessPool(1, nothing, tell_and_name) as pool:
        found = list(pool.map(range(3), lost, lambda number, share: told.append((number, share))))
    assert told == [(n, 0.5) for n in range(3)]
    assert [number for number, _ in found] == [0, 1, 2]
    assert len({pid for _, pid in found}) == 1 and found[0][1] != os.getpid()


BUSY = """
import os, signal, sys, time
from functools import partial
from pathlib import Path
from keras_ddl.edge.process_pool import unordered_map
from keras_ddl.edge.errors import run_cli

def start(folder):
    (folder / str(os.getpid())).touch()

def work(_, job):
    time.sleep(600 if job else 0)  # the first is done, the others are busy

def body():
    opened = partial(start, Path(sys.argv[1]))
    for number, _ in unordered_map(work, range(9), 2, opened, None):
        print("done", number, flush=True)
    return 0

if __name__ == "__main__":
    sys.exit(run_cli(body))
"""


def deaf_to_ctrl_c(pid: int) -> bool:
    """Whether a process blocks SIGINT; the first that a program starts forgot to once."""
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    return bool(int(status["SigBlk"], 16) >> (signal.SIGINT - 1) & 1)


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent(
    kind: signal.Signals, tmp_path: Path, processes: Any
) -> None:
    script, workers = tmp_path / "busy.py", tmp_path / "workers"
    script.write_text(BUSY)
    workers.mkdir()
    line = [sys.executable, str(script), str(workers)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, start_new_session=True, **pipes) as parent:
        assert parent.stdout.readline() == "done 0\n"
        while len(list(workers.iterdir())) < 2:
            time.sleep(0.05)
        pids = [int(path.name) for path in workers.iterdir()]
        assert all(map(processes.alive, pids))
        deaf = [deaf_to_ctrl_c(pid) for pid in pids]
        if kind == signal.SIGINT:  # as a terminal does, to everyone
            os.killpg(parent.pid, kind)
        else:
            parent.send_signal(kind)
        assert processes.end(pids)
        error = parent.stderr.read()
    assert all(deaf)
    if kind == signal.SIGKILL:
        assert parent.returncode == -signal.SIGKILL
    else:
        assert (parent.returncode, error) == (130, "interrupted\n")


LARGE = """
import sys
from keras_ddl.edge.process_pool import unordered_map
from keras_ddl.edge.errors import run_cli

def start():
    pass

def work(_, job):
    return bytes(100_000_000)  # nearly always on its way to the parent

def body():
    for number, _ in unordered_map(work, range(100_000), 2, start, None):
        print("done", number, flush=True)
    return 0

if __name__ == "__main__":
    sys.exit(run_cli(body))
"""


def test_an_interrupt_in_the_middle_of_a_result_does_not_hang(tmp_path: Path) -> None:
    script = tmp_path / "large.py"
    script.write_text(LARGE)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(script)], **pipes) as parent:
        assert parent.stdout.readline().startswith("done ")
        parent.send_signal(signal.SIGINT)
        try:
            _, error = parent.communicate(timeout=60)
        finally:
            parent.kill()
    assert (parent.returncode, error) == (130, "interrupted\n")
