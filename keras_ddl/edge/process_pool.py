"""Process pool that isolates its jobs: one that kills its process costs itself alone."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from keras_ddl.edge.errors import UserError

ENDING_S = 2.0  # how long a process whose pipe has closed may take to end
_READY, _SHARE, _DONE, _FAILED = "ready", "share", "done", "failed"

Opened = TypeVar("Opened")
Job = TypeVar("Job")
Result = TypeVar("Result")


def unordered_map(
    work: Callable[[Opened, Job], Result],
    jobs: Iterable[Job],
    processes: int,
    start: Callable[[], Opened],
    died: Callable[[Job, str], Result],
) -> Iterator[tuple[int, Result]]:
    """Yield (number of the job, its result) as they come.

    Args:
        work: As in `ProcessPool`.
        jobs: Picklable; taken when a process is free.
        processes: Spawned worker processes; 1 = in this process, without isolation.
        start: As in `ProcessPool`.
        died: Result of a job whose process died, from the job and how it died (`SIGKILL`).
    """
    if processes <= 1:
        opened = start()
        for number, job in enumerate(jobs):
            yield number, work(opened, job)
        return
    with ProcessPool(processes, start, work) as pool:
        yield from pool.map(jobs, died)


def tell_share(share: float) -> None:
    """Tell the parent what share of the job at hand is done, in [0, 1]; for use in `work`."""
    if _This.pipe is not None:
        _send(_This.pipe, _SHARE, share)


class _This:
    """The worker process this is; `pipe` is None in every other process."""

    pipe: Connection | None = None


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: int = -1
    ready: bool = False


class ProcessPool(Generic[Opened, Job, Result]):
    """A context manager around worker processes, each with one job at a time.

    They end with it, in the middle of a job too, and when this process does, even by `kill -9`.
    Ctrl-C is the parent's alone.

    Args:
        processes: Most worker processes; there are never more than jobs.
        start: Run once in each process before its first job; opens what every job needs.
        work: Does a job, with what `start` returned. Both are picklable: functions of a module's
            top level, or `functools.partial` of them.
    """

    def __init__(
        self,
        processes: int,
        start: Callable[[], Opened],
        work: Callable[[Opened, Job], Result],
    ) -> None:
        self._context = get_context("spawn")  # a fork of running native threads may hang
        self._processes, self._start, self._work = processes, start, work
        self._workers: list[_Worker] = []
        self._watched, self._alive = self._context.Pipe(duplex=False)

    def map(
        self,
        jobs: Iterable[Job],
        died: Callable[[Job, str], Result],
        tell: Callable[[int, float], None] | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """Yield (number of the job, its result) as they come.

        Args:
            jobs: Picklable, begun in this order, each when a process is free.
            died: Result of a job whose process died, from the job and how it died (`SIGKILL`).
            tell: Gets the number of a job and the share that it tells with `tell_share`.

        Raises:
            UserError: A process died before its first job.
            Exception: What `start` or `work` raised.
        """
        waiting, running = iter(enumerate(jobs)), dict[int, Job]()
        for number, job in waiting:
            running[number] = job
            self._workers.append(self._spawn())
            _hand_out(self._workers[-1], number, job)
            if len(self._workers) == self._processes:
                break
        while running:
            busy = {w.pipe: w for w in self._workers if w.job in running}
            for pipe in connection.wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                kind, value = self._hear(worker)
                if kind == _SHARE and tell is not None:
                    tell(worker.job, value)
                if kind not in (_DONE, None):
                    continue
                number, job = worker.job, running.pop(worker.job)
                if kind is None:
                    self._replace(worker)
                for worker.job, following in waiting:
                    running[worker.job] = following
                    _hand_out(worker, worker.job, following)
                    break
                yield number, died(job, value) if kind is None else value

    def _hear(self, worker: _Worker) -> tuple[str | None, Any]:
        """Return one message, or None and how the process died."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(ENDING_S)
            code = worker.process.exitcode
            how = signal.Signals(-code).name if code is not None and code < 0 else f"code {code}"
            if worker.ready:
                return None, how
            message = f"a worker process died before its first job ({how}), perhaps for lack of"
            raise UserError(f"{message} memory; try with one process") from None
        if kind == _FAILED:
            error, trace = value
            raise error from RuntimeError(f"in a worker process:\n{trace}")
        worker.ready = worker.ready or kind == _READY
        return kind, value

    def _spawn(self) -> _Worker:
        """Start a process; it never hears Ctrl-C."""
        ours, theirs = self._context.Pipe()
        arguments = (theirs, self._watched, self._start, self._work)
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        resource_tracker.ensure_running()  # or starting it would unblock the signal again
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()  # so that its death is the end of our pipe
        return _Worker(process, ours)

    def _replace(self, worker: _Worker) -> None:
        worker.pipe.close()
        fresh = self._spawn()
        worker.process, worker.pipe, worker.ready = fresh.process, fresh.pipe, False

    def __enter__(self) -> ProcessPool[Opened, Job, Result]:
        return self

    def __exit__(self, *_: object) -> None:
        self._alive.close()
        for worker in self._workers:
            worker.process.kill()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()
        self._watched.close()


def _hand_out(worker: _Worker, number: int, job: Any) -> None:
    worker.job = number
    try:
        worker.pipe.send(job)
    except OSError:  # it has died; that is noticed when it is listened to
        return


def _serve(
    pipe: Connection,
    watched: Connection,
    start: Callable[[], Opened],
    work: Callable[[Opened, Job], Any],
) -> None:
    """Body of a worker process: jobs from the pipe until there is no parent any more."""
    threading.Thread(target=_end_with_parent, args=(watched,), daemon=True).start()
    _This.pipe = pipe
    try:
        opened = start()
        _send(pipe, _READY)
        while True:
            try:
                job = pipe.recv()
            except (EOFError, ConnectionResetError):  # the parent is gone
                os._exit(1)
            _send(pipe, _DONE, work(opened, job))
    except Exception as error:
        _send(pipe, _FAILED, (error, traceback.format_exc()))


def _end_with_parent(watched: Connection) -> None:
    watched.poll(None)  # until the other end, which the parent alone has, is closed
    os._exit(1)


def _send(pipe: Connection, kind: str, value: Any = None) -> None:
    try:
        pipe.send((kind, value))
    except OSError:  # nobody listens any more
        os._exit(1)
