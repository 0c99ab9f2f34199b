"""Worker processes: their results, what a dead one costs, and that none outlives its parent."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.workers.pool import ABANDONED, CRASHED, TIMEOUT, Loss, tell_share
from keras_ddl.edge.workers.pools import unordered_map
from keras_ddl.edge.workers.process_pool import ProcessPool

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


def die_once(folder: Path, number: int) -> int:
    """Kill this process over the first two jobs, at the first attempt each; note every attempt."""
    with (folder / "attempts").open("a") as file:
        file.write(f"{number} ")
    if number < 2 and not (folder / str(number)).exists():
        (folder / str(number)).touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    return os.getpid()


def hang(_: None, number: int) -> int:
    if number == 1:
        time.sleep(600)
    return number


def stumble(_: None, number: int) -> tuple[int, int]:
    if number == 1:
        raise IndexError("no such frame\nand more")
    if number == 3:
        raise MemoryError
    return number, os.getpid()


def give_what_cannot_be_sent(_: None, number: int) -> Any:
    return threading.Lock() if number == 1 else (number, os.getpid())


def find_no_room(_: None, number: int) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/full/shard")


def tell_and_name(_: None, number: int) -> int:
    tell_share(0.5)
    return os.getpid()


def nothing() -> None:
    """Nothing to open."""


def as_it_is(folder: Path) -> Path:
    return folder


def open_slowly() -> None:
    time.sleep(1.5)


def die() -> None:
    os._exit(1)


def lost(number: int, loss: Loss) -> tuple[int, Loss]:
    return number, loss


@pytest.mark.parametrize("processes", [0, 1, 2])
def test_results_of_all_jobs(processes: int) -> None:
    assert sorted(unordered_map(square, range(20), processes, nothing, lost)) == SQUARES
    assert list(unordered_map(square, (), processes, nothing, lost)) == []


def test_a_job_that_kills_its_worker_costs_itself_alone() -> None:
    found = dict(unordered_map(square_or_die, range(20), 2, nothing, lost))
    killed, left = "2 worker processes died over it (SIGKILL)", "(code 3)"
    assert {number: found.pop(number) for number in (0, 7, 12)} == {
        0: (0, Loss(CRASHED, killed)),
        7: (7, Loss(CRASHED, killed)),
        12: (12, Loss(CRASHED, killed.replace("(SIGKILL)", left))),
    }
    assert found.items() == {n: s for n, s in SQUARES if n not in (0, 7, 12)}.items()


def test_a_result_that_cannot_be_sent_is_told_and_no_process_dies() -> None:
    found = dict(unordered_map(give_what_cannot_be_sent, range(4), 1, nothing, lost))
    _, loss = found.pop(1)
    assert loss.kind == CRASHED and "its result cannot be sent back: cannot pickle" in loss.reason
    assert sorted(number for number, _ in found.values()) == [0, 2, 3]
    assert len({process for _, process in found.values()}) == 1


@pytest.mark.parametrize("processes", [1, 2])
def test_a_job_whose_worker_died_is_begun_once_more_after_the_others(
    processes: int, tmp_path: Path
) -> None:
    found = dict(unordered_map(die_once, range(6), processes, partial(as_it_is, tmp_path), lost))
    assert sorted(found) == [*range(6)] and all(isinstance(pid, int) for pid in found.values())
    attempts = (tmp_path / "attempts").read_text().split()
    assert sorted(attempts) == ["0", "0", "1", "1", "2", "3", "4", "5"]
    if processes == 1:
        assert attempts == ["0", "1", "2", "3", "4", "5", "0", "1"]


def test_a_job_that_takes_longer_than_the_bound_costs_itself_alone() -> None:
    found = dict(unordered_map(hang, range(4), 2, nothing, lost, seconds=1.5))
    bound = Loss(TIMEOUT, "not done after 1.5 s, the bound on time")
    assert found == {0: 0, 1: (1, bound), 2: 2, 3: 3}


def test_the_bound_does_not_count_what_a_process_opens_first() -> None:
    found = dict(unordered_map(square, range(3), 1, open_slowly, lost, seconds=1.0))
    assert found == {0: 0, 1: 1, 2: 4}


def test_an_error_that_nobody_foresaw_is_that_jobs_result_and_names_its_place() -> None:
    found = dict(unordered_map(stumble, range(5), 1, nothing, lost))
    number, loss = found[1]
    assert (number, loss.kind) == (1, CRASHED)
    assert loss.reason.startswith("an internal error, IndexError: no such frame (test_process_pool")
    assert found[3][1].reason.startswith("an internal error, MemoryError: ")
    assert len({found[n][1] for n in (0, 2, 4)}) == 1  # the process went on


def test_a_full_disk_ends_it_all() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        list(unordered_map(find_no_room, range(3), 1, nothing, lost))
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/full/shard")


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
from keras_ddl.edge.workers.pools import unordered_map
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
from keras_ddl.edge.workers.pools import unordered_map
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


def test_a_pool_maps_again_with_the_same_processes() -> None:
    with ProcessPool(1, nothing, tell_and_name) as pool:
        first, again = ([pid for _, pid in pool.map([number], lost)] for number in (1, 2))
    assert first == again and len(first) == 1


@pytest.mark.parametrize("opening", [nothing, open_slowly])
def test_a_job_that_is_abandoned_is_lost_at_once_and_the_next_one_done(opening: Any) -> None:
    with ProcessPool(1, opening, hang) as pool:
        threading.Timer(0.5, pool.abandon).start()
        assert list(pool.map([1], lost)) == [(0, (1, Loss(ABANDONED, "given up")))]
        assert list(pool.map([2], lost)) == [(0, 2)]
        assert not pool.abandon()  # nothing is at hand
