"""`ordered_map`: a function over many jobs on several processes, results in order."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from keras_ddl.errors import UserError

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
    # spawn: a fork of a process that runs TensorFlow or OpenCV threads may hang
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start_worker, (start, start_args))
    try:
        pending: deque[Future[Result]] = deque()
        for job in jobs:
            pending.append(pool.submit(work, job))
            if len(pending) >= 4 * processes:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps for lack of memory; try with one process"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(start: Callable[..., None], start_args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    start(*start_args)
