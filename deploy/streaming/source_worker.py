"""One source from its opening to its end, on two threads of its own."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from deploy.control import SourceStatus
from deploy.judging.records import Record
from deploy.judging.session import Setting, SourceJudge
from deploy.sources import Source
from deploy.sources.base import Health, State
from deploy.sources.live.read_ahead import ReadAhead
from deploy.streaming.face_worker import Looker
from deploy.streaming.messages import Ended, Inbox
from deploy.streaming.micro_batcher import MicroBatcher
from deploy.streaming.sink_worker import Outlet
from deploy.streaming.verdict_worker import Decider
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clipper import FaceClipper
from keras_ddl.edge.errors import UserError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LaneParts:
    """What a lane works with; the runner makes it.

    Attributes:
        name: Of the source, credentials hidden.
        open_source: Opens the source, anew each time the lane is started.
        setting: Who judges, given the opened source.
        clipper: Makes what finds faces and clips; called once.
        batcher: Gives the model, shared by all lanes.
        outlets: Where results go, shared too.
        telemetry: Observer.
        limit_ms: Ends the lane at this time of its source.
    """

    name: str
    open_source: Callable[[], Source]
    setting: Callable[[Source], Setting]
    clipper: Callable[[], FaceClipper]
    batcher: Callable[[], MicroBatcher]
    outlets: Sequence[Outlet]
    telemetry: NullTelemetry = field(default_factory=NullTelemetry)
    limit_ms: float | None = None


class Lane:
    """A source that is watched; can be stopped and started again. Ask from any thread.

    Attributes:
        error: What ended it before its time; None otherwise.
        end: The closing record; None before, and where not one frame came.
    """

    def __init__(self, parts: LaneParts) -> None:
        self.parts = parts
        self.name = parts.name
        self.error: Exception | None = None
        self.end: Record | None = None
        self._clipper: FaceClipper | None = None  # kept over restarts: track numbers go on
        self._source: Source | None = None
        self._looker: Looker | None = None
        self._decider: Decider | None = None
        self._state: State | None = State.CONNECTING  # where set, instead of the source's own
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin, or begin again after the end; does nothing while it runs."""
        if self.alive:
            return
        self._stop = threading.Event()
        self._state = State.CONNECTING
        self.error = self.end = self._source = self._looker = self._decider = None
        self._threads = [self._thread("look", self._look)]
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

    @property
    def abstain(self) -> str:
        """Why no verdict is given on this source; "" when verdicts are."""
        return "" if self._decider is None else self._decider.judge.policy.abstain

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
        """How it is doing."""
        source, looker, decider = self._source, self._looker, self._decider
        health = source.health if source is not None else Health()
        if self._state is not None:
            error = str(self.error) if self.error is not None else health.error
            health = dataclasses.replace(health, state=self._state, error=error)
        return SourceStatus(
            name=self.name,
            health=health,
            live=source.live if source is not None else True,
            fps=looker.fps if looker is not None else 0.0,
            faces=decider.faces() if decider is not None and self.alive else (),
            latency_ms=self.parts.telemetry.summary(self.name).get("end_to_end", {}),
        )

    def snapshot(self) -> np.ndarray | None:
        """The newest frame with its marks; None before the first."""
        return None if self._decider is None else self._decider.picture()

    def _thread(self, role: str, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=work, name=f"{role} {self.name}", daemon=True)

    def _look(self) -> None:
        """The looking thread: open, start the judging thread, walk, say how it ended."""
        inbox, how = Inbox(), "error"
        try:
            opened = self.parts.open_source()
            with opened if opened.live else ReadAhead(opened, self.parts.telemetry) as source:
                self._source = source
                if self._stop.is_set():
                    source.interrupt()
                how = self._prepare(source, inbox).walk(source, self._stop.is_set)
        except UserError as error:
            self.error = error
        except OSError as error:
            self.error = UserError(f"{self.name}: reading failed: {error.strerror or error}")
        except Exception as error:  # a mistake of ours: others go on, the run ends with it
            self.error = error
            log.exception("%s ended by an internal error", self.name)
        how = "stopped" if self._stop.is_set() else how
        if self._decider is None:
            self._state = State.STOPPED if how == "stopped" else State.FAILED
        inbox.put(Ended(how))

    def _prepare(self, source: Source, inbox: Inbox) -> Looker:
        if self._clipper is None:
            self._clipper = self.parts.clipper()
        parts = self.parts
        judge = SourceJudge(parts.setting(source))
        self._decider = Decider(
            judge,
            inbox,
            parts.outlets,
            parts.telemetry,
            self._model_failed,
            lambda: source.fps,
        )
        self._looker = Looker(
            self.name, self._clipper, parts.batcher(), inbox, parts.telemetry, parts.limit_ms
        )
        self._state = None
        self._threads.append(self._thread("judge", self._judge))
        self._threads[-1].start()
        return self._looker

    def _judge(self) -> None:
        """The judging thread: until the end has come, then the closing record."""
        decider = self._decider
        if decider is None:
            raise ValueError("expected a source that was opened")
        how = decider.run()
        if self.error is not None:
            how = "error"
        if decider.begun or how != "error":
            decider.begin()
            dropped = self._source.dropped if self._source is not None else 0
            self.end = decider.finish(how, dropped)
        ended = State.STOPPED if how in ("stopped", "limit") else State.ENDED
        self._state = State.FAILED if how == "error" else ended

    def _model_failed(self, error: BaseException) -> None:
        """The model itself failed: this lane cannot go on."""
        if self.error is None:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.error = UserError(f"the model failed on {self.name}: {reason}")
        self.stop()
