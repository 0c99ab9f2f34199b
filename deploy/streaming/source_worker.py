"""One source from its opening to its end, on two threads of its own."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deploy.control import SourceStatus
from deploy.judging.records import Record
from deploy.judging.session import RunDescription, SourceJudge
from deploy.sources import Source
from deploy.sources.base import Health, State
from deploy.sources.recorded_source import ReadAhead
from deploy.streaming.face_worker import FaceWorker
from deploy.streaming.micro_batcher import MicroBatcher
from deploy.streaming.sink_worker import SinkWorker
from deploy.streaming.verdict_worker import EndMessage, MessageQueue, VerdictWorker
from keras_ddl.edge.clipper import FaceClipper
from keras_ddl.edge.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SourcePlan:
    """A source to watch.

    Attributes:
        name: For logs and outputs, unique within a run; credentials hidden.
        open: Opens it under this name, anew each time it is started.
        live: Whether time passes by itself, as far as its address tells.
        clipper: Its finder of faces and clips, kept over restarts: track numbers go on.
    """

    name: str
    open: Callable[[], Source]
    live: bool
    clipper: FaceClipper


class SourceWorker:
    """A source that is watched; can be stopped and started again. Ask from any thread.

    Args:
        run: What judges.
        plan: The source.
        batcher: The model, shared by all sources.

    Attributes:
        error: What ended it before its time; None otherwise.
        end: The closing record; None before, and where not one frame came.
    """

    def __init__(self, run: RunDescription, plan: SourcePlan, batcher: MicroBatcher) -> None:
        self.plan = plan
        self.name = plan.name
        self.error: Exception | None = None
        self.end: Record | None = None
        self._run = run
        self._batcher = batcher
        self._sinks: Sequence[SinkWorker] = ()
        self._source: Source | None = None
        self._faces: FaceWorker | None = None
        self._verdicts: VerdictWorker | None = None
        self._state: State | None = State.CONNECTING  # where set, instead of the source's own
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, sinks: Sequence[SinkWorker]) -> None:
        """Begin, or begin again after the end; does nothing while it runs.

        Args:
            sinks: Where results go, shared by all sources.
        """
        if self.alive:
            return
        self._sinks = sinks
        self._stop = threading.Event()
        self._state = State.CONNECTING
        self.error = self.end = self._source = self._faces = self._verdicts = None
        self._threads = [self._thread("faces", self._walk)]
        self._threads[0].start()

    def stop(self) -> None:
        """End soon; returns at once."""
        self._stop.set()
        source = self._source
        if source is not None:
            source.interrupt()

    @property
    def alive(self) -> bool:
        """Whether it has not ended yet."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def length(self) -> int | None:
        """Frames of its source; None while it is not opened, or does not tell."""
        return None if self._source is None else self._source.length

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; returns whether it has come."""
        until = time.monotonic() + timeout_s
        while (thread := next((t for t in self._threads if t.is_alive()), None)) is not None:
            left = until - time.monotonic()
            if left <= 0:
                return False
            thread.join(left)
        return True

    def status(self) -> SourceStatus:
        """Return how it is doing."""
        source, faces, verdicts = self._source, self._faces, self._verdicts
        health = source.health if source is not None else Health()
        if self._state is not None:
            error = str(self.error) if self.error is not None else health.error
            health = dataclasses.replace(health, state=self._state, error=error)
        return SourceStatus(
            name=self.name,
            health=health,
            live=source.live if source is not None else True,
            fps=faces.fps if faces is not None else 0.0,
            faces=verdicts.faces() if verdicts is not None and self.alive else (),
            latency_ms=self._run.telemetry.summary(self.name).get("end_to_end", {}),
        )

    def snapshot(self) -> np.ndarray | None:
        """Return the newest frame with its marks; None before the first."""
        return None if self._verdicts is None else self._verdicts.picture()

    def _thread(self, role: str, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=work, name=f"{role} {self.name}", daemon=True)

    def _walk(self) -> None:
        """The face thread: open, start the verdict thread, walk, say how it ended."""
        messages, how = MessageQueue(), "error"
        try:
            opened = self.plan.open()
            with opened if opened.live else ReadAhead(opened, self._run.telemetry) as source:
                self._source = source
                if self._stop.is_set():
                    source.interrupt()
                how = self._prepare(source, messages).walk(self._stop.is_set)
        except UserError as error:
            self.error = error
        except OSError as error:
            self.error = UserError(f"{self.name}: reading failed: {error.strerror or error}")
        except Exception as error:  # a mistake of ours: others go on, the run ends with it
            self.error = error
            log.exception("%s ended by an internal error", self.name)
        how = "stopped" if self._stop.is_set() else how
        if self._verdicts is None:
            self._state = State.STOPPED if how == "stopped" else State.FAILED
        messages.put(EndMessage(how))

    def _prepare(self, source: Source, messages: MessageQueue) -> FaceWorker:
        clipper = self.plan.clipper
        judge = SourceJudge(self._run, source, clipper)
        verdicts = VerdictWorker(judge, messages, self._sinks, self._model_failed)
        faces = FaceWorker(self._run, source, clipper, self._batcher, messages)
        self._verdicts, self._faces, self._state = verdicts, faces, None
        self._threads.append(self._thread("verdicts", lambda: self._judge(verdicts)))
        self._threads[-1].start()
        return faces

    def _judge(self, verdicts: VerdictWorker) -> None:
        """The verdict thread: until the end has come, then the closing record."""
        how = verdicts.run()
        if self.error is not None:
            how = "error"
        if verdicts.begun or how != "error":
            verdicts.begin()
            self.end = verdicts.finish(how)
        ended = State.STOPPED if how in ("stopped", "limit") else State.ENDED
        self._state = State.FAILED if how == "error" else ended

    def _model_failed(self, error: BaseException) -> None:
        """The model itself failed: this source cannot go on."""
        if self.error is None:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.error = UserError(f"the model failed on {self.name}: {reason}")
        self.stop()
