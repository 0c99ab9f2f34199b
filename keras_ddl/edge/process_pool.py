"""A function over many jobs on several processes: results in order, or as they come."""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from keras_ddl.edge.errors import UserError

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
            pending.append(_submit(pool, work, job))
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
            pending[_submit(pool, work, job)] = number
            if len(pending) >= AHEAD * processes:
                yield from _taken(pending)
        while pending:
            yield from _taken(pending)


def _taken(pending: dict[Future[Result], int]) -> Iterator[tuple[int, Result]]:
    """Take what is finished out of what is pending; wait for one."""
    for future in wait(pending, return_when=FIRST_COMPLETED).done:
        yield pending.pop(future), future.result()


def _submit(pool: ProcessPoolExecutor, work: Callable[[Job], Result], job: Job) -> Future[Result]:
    """Hand a job out. A process that this starts never hears Ctrl-C, which is the parent's."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return pool.submit(_run, work, job)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _pool(
    processes: int, start: Callable[..., None], start_args: tuple[Any, ...]
) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this block, in the middle of a job where it is left early.

    They end, too, when this process does, even by `kill -9`: each watches two pipes whose other
    ends are open here alone.
    """
    # spawn: a fork of a process that runs TensorFlow or OpenCV threads may hang
    context = get_context("spawn")
    going_on, keep_going = context.Pipe(duplex=False)
    alive, stay_alive = context.Pipe(duplex=False)
    watched = (going_on, alive)
    pool = ProcessPoolExecutor(processes, context, _start_worker, (*watched, start, start_args))
    try:
        yield pool
        pool.shutdown()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process died, perhaps for lack of memory; try with one process"
        ) from error
    finally:
        keep_going.close()
        pool.shutdown(cancel_futures=True)
        for pipe in (stay_alive, *watched):
            pipe.close()


class _Worker:
    """What a worker process knows of itself; `moving` is held while the rest changes."""

    moving = threading.Lock()
    busy = False
    stopping = False


def _start_worker(
    going_on: Connection,
    alive: Connection,
    start: Callable[..., None],
    start_args: tuple[Any, ...],
) -> None:
    threading.Thread(target=_stop_with, args=(going_on,), daemon=True).start()
    threading.Thread(target=_die_with, args=(alive,), daemon=True).start()
    start(*start_args)


def _run(work: Callable[[Job], Result], job: Job) -> Result:
    with _Worker.moving:
        if _Worker.stopping:
            os._exit(1)
        _Worker.busy = True
    try:
        return work(job)
    finally:
        with _Worker.moving:
            _Worker.busy = False


def _stop_with(going_on: Connection) -> None:
    """End this process in the middle of a job, or else before the next one.

    Not between the two: the parent may be reading a result, and would wait for its end for ever.
    """
    going_on.poll(None)  # until the other end is closed
    with _Worker.moving:
        _Worker.stopping = True
        if _Worker.busy:
            os._exit(1)


def _die_with(alive: Connection) -> None:
    """End this process, whatever it does, when there is no parent any more."""
    alive.poll(None)
    os._exit(1)
