"""Runner of several sources at once: their workers, the model they share, and the sinks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence

import numpy as np

from deploy.control import SourceStatus
from deploy.judging.session import RunDescription
from deploy.sinks import Sink
from deploy.streaming.micro_batcher import MicroBatcher
from deploy.streaming.sink_worker import SinkWorker
from deploy.streaming.source_worker import SourcePlan, SourceWorker
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.memory import resident_bytes

log = logging.getLogger(__name__)

POLL_S = 0.1
STOP_S = 1.9  # everything is flushed and closed this long after it was asked for
MEMORY_EVERY_S = 1.0
OVERDUE_MS = 500.0


class Runner:
    """A run over all sources until they have ended or somebody asks for the end; a `Control`.

    `run` once, on one thread; everything else may be called from any thread.

    Args:
        description: What judges, and the bounds.
        plans: The sources.
    """

    def __init__(self, description: RunDescription, plans: Sequence[SourcePlan]) -> None:
        self.description = description
        self.plans = tuple(plans)
        self.quiet_end = False  # the reader of stdout went away
        self.warm = False  # the model has answered once, sources are started
        self._stop = threading.Event()
        self._kept = False  # sources may be started again, so the run goes on without any
        self._sinks: tuple[SinkWorker, ...] = ()
        self._batcher = MicroBatcher(
            description.backend,
            description.max_batch,
            description.deadline_s,
            description.telemetry,
        )
        self._sources = {
            plan.name: SourceWorker(description, plan, self._batcher) for plan in plans
        }
        if len(self._sources) != len(self.plans):
            raise ValueError("expected sources with names of their own")

    # -- Control, which has their contracts

    def status(self) -> tuple[SourceStatus, ...]:
        return tuple(source.status() for source in self._sources.values())

    def start(self, source: str) -> None:
        worker, self._kept = self._sources[source], True
        if self.warm:  # else it starts with the run
            worker.start(self._sinks)

    def stop(self, source: str) -> None:
        """Stop watching a source; the run goes on, and it may be started again."""
        worker, self._kept = self._sources[source], True
        worker.stop()

    def snapshot(self, source: str) -> np.ndarray | None:
        return self._sources[source].snapshot()

    def quit(self) -> None:
        """End the run soon; safe in a signal handler."""
        self._stop.set()

    @property
    def dead_threads(self) -> list[str]:
        if not self.warm or self._stop.is_set():
            return []
        threads = {"infer": self._batcher.alive}
        threads |= {f"sink {worker.sink.name}": worker.alive for worker in self._sinks}
        return [name for name, alive in threads.items() if not alive]

    # -- the run

    def run(self, sinks: Sequence[Sink]) -> list[SourceWorker]:
        """Watch until the end; returns the sources, each with its closing record or its error.

        Args:
            sinks: Where results go, opened; they are closed here.

        Raises:
            UserError: memory ran out (3).
        """
        patient = not any(plan.live for plan in self.plans)
        telemetry = self.description.telemetry
        self._warm_up()
        self._batcher.start()
        self._sinks = tuple(
            SinkWorker(sink, patient, telemetry, self._reader_left) for sink in sinks
        )
        self.warm = True
        try:
            for source in self._sources.values():
                source.start(self._sinks)
            self._wait()
        finally:
            self._close()
        return list(self._sources.values())

    def _warm_up(self) -> None:
        """The first call of a model takes longest: let it be none that somebody waits for.

        It has the largest batch there can be, so that the memory for it is taken now: a device that
        has too little says so at once, not on a busy night.
        """
        spec = self.description.bundle.spec
        shape = (self._batcher.max_batch, spec.frames, spec.size, spec.size, 3)
        self.description.backend.infer({"clip": np.zeros(shape, np.uint8)})

    def _reader_left(self) -> None:
        self.quiet_end = True
        self._stop.set()

    def _wait(self) -> None:
        began = checked = time.monotonic()
        while not self._stop.wait(POLL_S):
            if not self._kept and not any(source.alive for source in self._sources.values()):
                return
            self._end_overdue((time.monotonic() - began) * 1000.0)
            bound = self.description.max_memory
            if bound is not None and time.monotonic() - checked >= MEMORY_EVERY_S:
                checked = time.monotonic()
                if (used := resident_bytes()) > bound:
                    raise UserError(
                        f"expected at most {bound >> 20} MiB of memory (--max-memory), received "
                        f"{used >> 20} MiB: the run was ended, start it again",
                        MISSING,
                    )

    def _end_overdue(self, elapsed_ms: float) -> None:
        """A live source without frames has no time of its own that could reach the limit."""
        limit_ms = self.description.limit_ms
        if limit_ms is not None and elapsed_ms > limit_ms + OVERDUE_MS:
            for plan in self.plans:
                if plan.live and not self._kept:
                    self._sources[plan.name].stop()

    def _close(self) -> None:
        until = time.monotonic() + STOP_S
        sources = list(self._sources.values())
        for source in sources:
            source.stop()
        for source in sources:
            if not source.join(max(0.0, until - 0.8 - time.monotonic())):
                log.warning("%s hangs and is left behind", source.name)
        self._batcher.close(max(0.0, until - 0.5 - time.monotonic()))
        for sink in self._sinks:
            sink.close(max(0.05, until - time.monotonic()))

    def length(self) -> int | None:
        """Frames of all sources together; None while one is not opened, or does not tell."""
        lengths = [source.length for source in self._sources.values()]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(lengths) else None

    @property
    def hanging(self) -> bool:
        """Whether a thread did not end in time, so that an orderly exit could wait for ever."""
        sources = any(source.alive for source in self._sources.values())
        return sources or self._batcher.alive or any(sink.alive for sink in self._sinks)

    @property
    def failures(self) -> dict[str, Exception]:
        """Sinks that did not take everything, with their last error."""
        found: dict[str, Exception] = {}
        for worker in self._sinks:
            if worker.error is not None:
                found[worker.sink.name] = worker.error
            elif worker.sink.missing:
                found[worker.sink.name] = UserError(worker.sink.missing, MISSING)
        return found
