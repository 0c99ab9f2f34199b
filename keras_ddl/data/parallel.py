"""A function over many jobs on several processes: results in order, or as they come."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, TypeVar

from keras_ddl.errors import UserError

AHEAD = 4  # jobs handed out per process before a result is taken

Job = TypeVar("Job")
Result = TypeVar("Result")


def ordered_map(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    processes: int,
    start: Callable[..., None],
    start_args: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Yield `work(job)` for every job, in order.

    Args:
        work: A function of a module's top level.
        jobs: Picklable; taken only a few ahead of the results.
        processes: Spawned worker processes; 1 = in this process.
        start: Run once in each process before its first job.
        start_args: Its arguments.

    Raises:
        UserError: If a worker process dies.
    """
    if processes <= 1:
        start(*start_args)
        yield from map(work, jobs)
        return
    with _pool(processes, start, start_args) as pool:
        pending: deque[Future[Result]] = deque()
        for job in jobs:
            pending.append(pool.submit(work, job))
            if len(pending) >= AHEAD * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def unordered_map(
    work: Callable[[Job], Result],
    jobs: Iterable[Job],
    processes: int,
    start: Callable[..., None],
    start_args: tuple[Any, ...] = (),
) -> Iterator[tuple[int, Result]]:
    """Yield (number of the job, `work(job)`) as the results come; otherwise as `ordered_map`."""
    if processes <= 1:
        start(*start_args)
        yield from enumerate(map(work, jobs))
        return
    with _pool(processes, start, start_args) as pool:
        pending: dict[Future[Result], int] = {}
        for number, job in enumerate(jobs):
            pending[pool.submit(work, job)] = number
            if len(pending) >= AHEAD * processes:
                yield from _taken(pending)
        while pending:
            yield from _taken(pending)


def _taken(pending: dict[Future[Result], int]) -> Iterator[tuple[int, Result]]:
    """Take what is finished out of what is pending; wait for one."""
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future.result()


@contextmanager
def _pool(
    processes: int, start: Callable[..., None], start_args: tuple[Any, ...]
) -> Iterator[ProcessPoolExecutor]:
    # spawn: a fork of a process that runs TensorFlow or OpenCV threads may hang
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (start, start_args))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps for lack of memory; try with one process"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(start: Callable[..., None], start_args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    start(*start_args)
