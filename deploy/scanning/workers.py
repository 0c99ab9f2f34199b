"""`Workers`: processes that judge files; one that dies costs the file it had, nothing else."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from deploy.judging.records import Record
from deploy.scanning.files import Candidate
from deploy.scanning.judge import CRASHED, Kit, Options, judge_file
from keras_ddl.edge.errors import MISSING, UserError

PROGRESS, DONE, FAILED = "progress", "done", "failed"
ENDING_S = 2.0


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    job: int | None = None


class Workers:
    """A context manager around so many processes.

    They end with it, also in the middle of a file, and when this process is killed.

    Args:
        count: How many.
        options: How files are judged.
    """

    def __init__(self, count: int, options: Options) -> None:
        self._context = get_context("spawn")  # a fork of running native threads may hang
        self._options = options
        self._workers = [self._start() for _ in range(count)]

    def judge(
        self, candidates: Sequence[Candidate], tell: Callable[[int, float], None]
    ) -> Iterator[tuple[int, Record]]:
        """Yield (number of the file, its record) as they come.

        Args:
            candidates: The files, begun in this order.
            tell: Gets the number of a file and the share of it that is done.

        Raises:
            UserError: a process cannot work at all.
        """
        waiting = iter(enumerate(candidates))
        for worker in self._workers:
            self._hand_out(worker, waiting)
        while busy := {w.pipe: w for w in self._workers if w.job is not None}:
            for pipe in connection.wait(list(busy)):
                worker = busy[pipe]  # type: ignore[index]
                job = worker.job
                if job is None:
                    continue
                record = self._hear(worker, job, candidates[job], tell)
                if record is not None:
                    self._hand_out(worker, waiting)
                    yield job, record

    def _hand_out(self, worker: _Worker, waiting: Iterator[tuple[int, Candidate]]) -> None:
        worker.job = None
        for number, candidate in waiting:
            worker.job = number
            try:
                worker.pipe.send(candidate)
            except OSError:  # it has died; that is noticed when it is listened to
                pass
            return

    def _hear(
        self, worker: _Worker, job: int, candidate: Candidate, tell: Callable[[int, float], None]
    ) -> Record | None:
        """One message; a record when the file is done, also by the worker's death."""
        try:
            kind, value = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker, candidate)
        if kind == PROGRESS:
            tell(job, value)
            return None
        if kind == FAILED:
            raise UserError(*value)
        record: Record = value
        return record

    def _bury(self, worker: _Worker, candidate: Candidate) -> Record:
        """Put a new process in the place of a dead one, and say what its file did."""
        worker.process.join(ENDING_S)
        code = worker.process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"code {code}"
        worker.pipe.close()
        fresh = self._start()
        worker.process, worker.pipe = fresh.process, fresh.pipe
        return {
            "path": candidate.path,
            "size": candidate.size,
            "mtime_ns": candidate.mtime_ns,
            "sha256": "",
            "status": CRASHED,
            "verdict": None,
            "reason": f"the process that judged it died ({how})",
            "notes": [],
        }

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=serve, args=(theirs, self._options), daemon=True, name="scan"
        )
        process.start()
        theirs.close()  # so that its death is the end of our pipe
        return _Worker(process, ours)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(ENDING_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()


def serve(pipe: Connection, options: Options) -> None:
    """What a process does: judge what it is handed until nobody is there any more."""
    from keras_ddl.edge.quiet import silence_libraries

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    silence_libraries()
    try:
        _serve(pipe, options)
    except UserError as error:
        _send(pipe, FAILED, (str(error), error.exit_code))
    except (EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        return
    except OSError as error:
        reason = f"writing results to '{options.out}' failed: {error.strerror or error}"
        _send(pipe, FAILED, (f"{reason}; make room and run the same command again", MISSING))


def _serve(pipe: Connection, options: Options) -> None:
    import cv2

    from deploy.bundle import open_bundle
    from keras_ddl.edge.faces import open_detector

    cv2.setNumThreads(options.threads)
    bundle, backend = open_bundle(options.bundle, options.threads, options.device)
    with backend:
        kit = Kit(options, bundle, backend, open_detector(options.detector))
        while True:
            candidate = pipe.recv()
            record = judge_file(candidate, kit, lambda share: pipe.send((PROGRESS, share)))
            pipe.send((DONE, record))


def _send(pipe: Connection, kind: str, value: Any) -> None:
    try:
        pipe.send((kind, value))
    except OSError:  # nobody listens any more
        return
