"""Process pool that isolates its jobs: one that kills or holds its process costs itself alone."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import connection, get_context, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.workers.pool import (
    ABANDONED,
    CRASHED,
    JOB_S,
    TIMEOUT,
    Job,
    Loss,
    Result,
    WorkerPool,
    tell_through,
)
from keras_ddl.edge.workers.tasks import BROKEN, DONE, FAILED, Opened, Task, Tasks, outcome

ENDING_S = 2.0  # how long a process that was killed, or whose pipe has closed, may take to end
_READY, _SHARE, _DIED = "ready", "share", "died"


@dataclass
class _Worker:
    """A process; `until` is when its task is given up, by `time.monotonic`."""

    process: BaseProcess
    pipe: Connection
    task: Task[Any] | None = None
    until: float = float("inf")
    ready: bool = False


class ProcessPool(WorkerPool[Job, Result], Generic[Opened, Job, Result]):
    """Spawned processes of this machine.

    They end with the pool, in the middle of a job too, and when this process does, even by
    `kill -9`. Ctrl-C is the parent's alone.

    Args:
        processes: Most worker processes; there are never more than jobs.
        start: Run once in each process before its first job; opens what every job needs.
        work: Does a job, with what `start` returned. Both are picklable: functions of a module's
            top level, or `functools.partial` of them.
        seconds: Longest time for one job; what `start` takes does not count.
    """

    def __init__(
        self,
        processes: int,
        start: Callable[[], Opened],
        work: Callable[[Opened, Job], Result],
        seconds: float = JOB_S,
    ) -> None:
        self.done_by = Counter()
        self._context = get_context("spawn")  # a fork of running native threads may hang
        self._processes, self._start, self._work = processes, start, work
        self._seconds = seconds
        self._workers: list[_Worker] = []
        self._tasks: Tasks[Job] = Tasks()
        self._watched, self._alive = self._context.Pipe(duplex=False)

    def map(
        self,
        jobs: Iterable[Job],
        lost: Callable[[Job, Loss], Result],
        tell: Callable[[int, float], None] | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """As `WorkerPool.map`; once all its results are there it may be called again."""
        self._tasks = Tasks(jobs)
        for worker in self._workers:
            self._give(worker, self._tasks.next())
        while len(self._workers) < self._processes and (task := self._tasks.next()) is not None:
            self._workers.append(self._spawn())
            self._give(self._workers[-1], task)
        while busy := {w.pipe: w for w in self._workers if w.task is not None}:
            ends = min(worker.until for worker in busy.values())
            patience = None if ends == float("inf") else max(0.0, ends - time.monotonic())
            heard = connection.wait(list(busy), patience)
            ended = [self._answer(busy[pipe], tell) for pipe in heard]  # type: ignore[index]
            late = [w for w in busy.values() if w.task and w.until <= time.monotonic()]
            for end in (*ended, *map(self._give_up, late)):
                if end is None:
                    continue
                task, value = end
                yield task.number, lost(task.job, value) if isinstance(value, Loss) else value

    def abandon(self) -> bool:
        """Give up the jobs at hand, from any thread: each is lost, and its process with it.

        Returns:
            Whether there was one; a job that is just being given to a new process is not yet.
        """
        any_at_hand = False
        for worker in self._workers:
            if (task := worker.task) is not None:
                any_at_hand = task.abandoned = True
                worker.process.kill()
        return any_at_hand

    def _answer(
        self, worker: _Worker, tell: Callable[[int, float], None] | None
    ) -> tuple[Task[Job], Any] | None:
        """Take a message; return a task that has ended and its result or its `Loss`."""
        kind, value = self._hear(worker)
        task = worker.task
        if task is None:
            return None
        if kind == _READY:
            worker.ready, worker.until = True, time.monotonic() + self._seconds
        elif kind == _SHARE and tell is not None:
            tell(task.number, value)
        if kind in (_READY, _SHARE):
            return None
        if kind == _DIED:
            self._replace(worker)
            loss = Loss(ABANDONED, "given up") if task.abandoned else None
            value = loss or self._tasks.after_death(task, value)
            if value is None:
                self._give(worker, self._tasks.next())
                return None
        elif kind == BROKEN:
            value = Loss(CRASHED, value)
        self._give(worker, self._tasks.next())
        return task, value

    def _give_up(self, worker: _Worker) -> tuple[Task[Job], Loss] | None:
        """End a process whose task has taken too long."""
        task = worker.task
        if task is None:
            return None
        worker.process.kill()
        worker.process.join(ENDING_S)
        self._replace(worker)
        self._give(worker, self._tasks.next())
        return task, Loss(TIMEOUT, f"not done after {self._seconds:g} s, the bound on time")

    def _give(self, worker: _Worker, task: Task[Job] | None) -> None:
        worker.task = task
        worker.until = time.monotonic() + self._seconds if worker.ready else float("inf")
        if task is None:
            return
        try:
            worker.pipe.send(task.job)
        except OSError:  # it has died; that is noticed when it is listened to
            return

    def _hear(self, worker: _Worker) -> tuple[str, Any]:
        """Return one message, or that and how the process died."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join(ENDING_S)
            code = worker.process.exitcode
            how = signal.Signals(-code).name if code is not None and code < 0 else f"code {code}"
            if worker.ready or (worker.task is not None and worker.task.abandoned):
                return _DIED, how
            message = f"a worker process died before its first job ({how}), perhaps for lack of"
            raise UserError(f"{message} memory; try with fewer processes") from None
        if kind == FAILED:
            error, trace = value
            raise error from RuntimeError(f"in a worker process:\n{trace}")
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

    def __exit__(self, *_: object) -> None:
        self._alive.close()
        for worker in self._workers:
            worker.process.kill()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()
        self._watched.close()


def _serve(
    pipe: Connection,
    watched: Connection,
    start: Callable[[], Opened],
    work: Callable[[Opened, Job], Any],
) -> None:
    """Body of a worker process: jobs from the pipe until there is no parent any more."""
    threading.Thread(target=_end_with_parent, args=(watched,), daemon=True).start()
    tell_through(partial(_send, pipe, _SHARE))
    try:
        opened = start()
    except Exception as error:
        _send(pipe, FAILED, (error, traceback.format_exc()))
        return
    _send(pipe, _READY)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, ConnectionResetError):  # the parent is gone
            os._exit(1)
        kind, value = outcome(work, opened, job)
        try:
            _send(pipe, kind, value)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            what = f"its {'result' if kind == DONE else 'error'} cannot be sent back"
            _send(pipe, BROKEN, f"an internal error, {what}: {error}")


def _end_with_parent(watched: Connection) -> None:
    watched.poll(None)  # until the other end, which the parent alone has, is closed
    os._exit(1)


def _send(pipe: Connection, kind: str, value: Any = None) -> None:
    try:
        pipe.send((kind, value))
    except OSError:  # nobody listens any more
        os._exit(1)
