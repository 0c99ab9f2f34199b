"""Worker processes: their results, and that none of them outlives its parent."""

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
from keras_ddl.edge.process_pool import ordered_map, unordered_map

BUSY = """
import os, signal, sys, time
from pathlib import Path
from keras_ddl.edge.process_pool import unordered_map
from keras_ddl.edge.errors import run_cli

def start(folder):
    (folder / str(os.getpid())).touch()

def work(job):
    time.sleep(600 if job else 0)  # the first is done, the others are busy

def body():
    for number, _ in unordered_map(work, range(9), 2, start, (Path(sys.argv[1]),)):
        print("done", number, flush=True)
    return 0

if __name__ == "__main__":
    sys.exit(run_cli(body))
"""


def square(number: int) -> int:
    return number * number


def die(number: int) -> None:
    os._exit(1)


def nothing() -> None:
    """A worker needs nothing."""


@pytest.mark.parametrize("processes", [1, 2])
def test_results_of_all_jobs(processes: int) -> None:
    squares = [n * n for n in range(20)]
    assert list(ordered_map(square, range(20), processes, nothing)) == squares
    assert sorted(unordered_map(square, range(20), processes, nothing)) == [*enumerate(squares)]


def test_a_worker_that_dies_is_told_of() -> None:
    with pytest.raises(UserError, match="a worker process died"):
        list(unordered_map(die, range(3), 2, nothing))


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
        if kind == signal.SIGINT:  # as a terminal does, to everyone
            os.killpg(parent.pid, kind)
        else:
            parent.send_signal(kind)
        assert processes.end(pids)
        error = parent.stderr.read()
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

def work(job):
    return bytes(100_000_000)  # nearly always on its way to the parent

def body():
    for number, _ in unordered_map(work, range(100_000), 2, start):
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
