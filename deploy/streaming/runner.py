"""Several sources at once: their lanes, the model they share, the sinks, and who may stop what."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from deploy.backends import Backend
from deploy.bundle import Bundle
from deploy.control import SourceStatus
from deploy.judging.session import Setting
from deploy.sinks import Sink
from deploy.sources import Source
from deploy.streaming.micro_batcher import DEADLINE_S, MicroBatcher, batch_size
from deploy.streaming.sink_worker import Outlet
from deploy.streaming.source_worker import Lane, LaneParts
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clipper import FaceClipper
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.memory import resident_bytes

log = logging.getLogger(__name__)

POLL_S = 0.1
STOP_S = 1.9  # everything is flushed and closed this long after it was asked for
MEMORY_EVERY_S = 1.0
OVERDUE_MS = 500.0


@dataclass(frozen=True)
class SourcePlan:
    """A source to watch.

    Attributes:
        name: For logs and outputs, unique within a run; credentials hidden.
        open: Opens it, anew each time.
        live: Whether time passes by itself, as far as its address tells.
        footage: What it shows: "real" or "synthetic" faces.
    """

    name: str
    open: Callable[[], Source]
    live: bool
    footage: str = "real"


@dataclass(frozen=True)
class RunnerParts:
    """What a run is made of; the caller opens and closes backend and telemetry.

    Attributes:
        plans: The sources.
        bundle: The model's contract.
        backend: The model.
        clipper: Makes the finder of faces and clips, one for each source.
        detector: Its name, for the records.
        telemetry: Observer.
        heat: Draw the inconsistency map over the faces.
        limit_ms: Ends each source at this time of its own.
        max_batch, deadline_s: Of the model's batches; None is what is usual for the backend.
        max_memory: Bytes of resident memory at which the run ends; None = no bound.
    """

    plans: Sequence[SourcePlan]
    bundle: Bundle
    backend: Backend
    clipper: Callable[[], FaceClipper]
    detector: str
    telemetry: NullTelemetry = field(default_factory=NullTelemetry)
    heat: bool = False
    limit_ms: float | None = None
    max_batch: int | None = None
    deadline_s: float = DEADLINE_S
    max_memory: int | None = None


class Runner:
    """Watches all sources until they have ended or somebody asks for the end; is a `Control`.

    `run` once, on one thread; everything else may be called from any thread.
    """

    def __init__(self, parts: RunnerParts) -> None:
        self.parts = parts
        self.quiet_end = False  # the reader of stdout went away
        self._stop = threading.Event()
        self._kept = False  # sources may be started again, so the run goes on without any
        self._outlets: list[Outlet] = []
        self._batcher: MicroBatcher | None = None
        self._lanes = {plan.name: self._lane(plan) for plan in parts.plans}
        if len(self._lanes) != len(parts.plans):
            raise ValueError("expected sources with names of their own")

    def _lane(self, plan: SourcePlan) -> Lane:
        parts = self.parts

        def setting(source: Source) -> Setting:
            return Setting(
                source=plan.name,
                bundle=parts.bundle,
                backend=parts.backend.name,
                detector=parts.detector,
                live=source.live,
                still=source.still,
                fps=source.fps,
                footage=plan.footage,
                heat=parts.heat,
            )

        return Lane(
            LaneParts(
                name=plan.name,
                open_source=plan.open,
                setting=setting,
                clipper=parts.clipper,
                batcher=lambda: self._model(),
                outlets=self._outlets,
                telemetry=parts.telemetry,
                limit_ms=parts.limit_ms,
            )
        )

    def _model(self) -> MicroBatcher:
        if self._batcher is None:
            raise ValueError("expected a run that has begun")
        return self._batcher

    # -- Control

    def status(self) -> tuple[SourceStatus, ...]:
        """All sources, in the order in which they were named."""
        return tuple(lane.status() for lane in self._lanes.values())

    def start(self, source: str) -> None:
        """Watch a stopped source again; KeyError for an unknown name."""
        self._kept = True
        self._lanes[source].start()

    def stop(self, source: str) -> None:
        """Stop watching a source; the run goes on, and it may be started again."""
        self._kept = True
        self._lanes[source].stop()

    def snapshot(self, source: str) -> np.ndarray | None:
        """The newest frame with its marks; None before the first."""
        return self._lanes[source].snapshot()

    def quit(self) -> None:
        """End the run soon; safe in a signal handler."""
        self._stop.set()

    @property
    def stopping(self) -> bool:
        """Whether somebody asked for the end."""
        return self._stop.is_set()

    @property
    def warm(self) -> bool:
        """Whether the model has answered once."""
        return self._batcher is not None

    @property
    def dead_threads(self) -> list[str]:
        """Threads that every source needs and that are gone although nobody asked for the end."""
        if self._batcher is None or self.stopping:
            return []
        threads = {"infer": self._batcher.alive}
        threads |= {f"sink {o.sink.name}": o.alive for o in self._outlets}
        return [name for name, alive in threads.items() if not alive]

    # -- the run

    def run(self, sinks: Sequence[Sink]) -> list[Lane]:
        """Watch until the end; returns the lanes, each with its closing record or its error.

        Args:
            sinks: Where results go, opened; they are closed here.

        Raises:
            UserError: memory ran out (3).
        """
        parts = self.parts
        patient = not any(plan.live for plan in parts.plans)
        self._warm_up()
        self._batcher = MicroBatcher(
            parts.backend, parts.max_batch, parts.deadline_s, parts.telemetry
        )
        self._outlets += [
            Outlet(sink, patient, parts.telemetry, self._reader_left) for sink in sinks
        ]
        try:
            for lane in self._lanes.values():
                lane.start()
            self._wait()
        finally:
            self._close()
        return list(self._lanes.values())

    def _warm_up(self) -> None:
        """The first call of a model takes longest: let it be none that somebody waits for.

        It has the largest batch there can be, so that the memory for it is taken now: a device that
        has too little says so at once, not on a busy night.
        """
        spec = self.parts.bundle.spec
        batch = batch_size(self.parts.backend, self.parts.max_batch)
        shape = (batch, spec.frames, spec.size, spec.size, 3)
        self.parts.backend.infer({"clip": np.zeros(shape, np.uint8)})

    def _reader_left(self) -> None:
        self.quiet_end = True
        self._stop.set()

    def _wait(self) -> None:
        began = checked = time.monotonic()
        while not self._stop.wait(POLL_S):
            if not self._kept and not any(lane.alive for lane in self._lanes.values()):
                return
            self._end_overdue((time.monotonic() - began) * 1000.0)
            bound = self.parts.max_memory
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
        limit_ms = self.parts.limit_ms
        if limit_ms is not None and elapsed_ms > limit_ms + OVERDUE_MS:
            for plan in self.parts.plans:
                if plan.live and not self._kept:
                    self._lanes[plan.name].stop()

    def _close(self) -> None:
        until = time.monotonic() + STOP_S
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.stop()
        for lane in lanes:
            if not lane.join(max(0.0, until - 0.8 - time.monotonic())):
                log.warning("%s hangs and is left behind", lane.name)
        if self._batcher is not None:
            self._batcher.close(max(0.0, until - 0.5 - time.monotonic()))
        for outlet in self._outlets:
            outlet.close(max(0.05, until - time.monotonic()))

    def length(self) -> int | None:
        """Frames of all sources together; None while one is not opened, or does not tell."""
        lengths = [lane.length for lane in self._lanes.values()]
        known = [length for length in lengths if length is not None]
        return sum(known) if len(known) == len(lengths) else None

    @property
    def hanging(self) -> bool:
        """Whether a thread did not end in time, so that an orderly exit could wait for ever."""
        lanes = any(lane.alive for lane in self._lanes.values())
        model = self._batcher is not None and self._batcher.alive
        return lanes or model or any(outlet.alive for outlet in self._outlets)

    @property
    def failures(self) -> dict[str, Exception]:
        """Sinks that failed, with their last error."""
        return {o.sink.name: o.error for o in self._outlets if o.error is not None}
