"""One source on its threads: one looks at frames, one makes verdicts of what the model says."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy import overlay
from deploy.control import SourceStatus
from deploy.micro_batcher import Answer, MicroBatcher, Overflow
from deploy.outlet import Outlet
from deploy.sight import Sight, Spotter
from deploy.sinks import Output
from deploy.sources import Source
from deploy.sources.base import Health, State
from deploy.telemetry import NullTelemetry
from deploy.watch import Setting, Watch
from keras_ddl.clips import Clip
from keras_ddl.errors import UserError
from keras_ddl.faceclips import FaceClipper
from keras_ddl.faces import Track

if TYPE_CHECKING:
    AnswerFuture = Future[Answer | None]

log = logging.getLogger(__name__)

SIGHTS = 16  # frames that were looked at and wait for their verdict
POLL_S = 0.1
LAST_ANSWERS_S = 1.0  # how long the end waits for answers that are still out
RECENT = 50  # frames that the rate is taken over


@dataclass(frozen=True)
class _Asked:
    """A clip and the future that has its answer."""

    clip: Clip
    track: Track
    captured_s: float
    answer: AnswerFuture


@dataclass(frozen=True)
class _Seen:
    sight: Sight
    asked: tuple[_Asked, ...] = ()


@dataclass(frozen=True)
class _Ended:
    how: str  # "source", "limit", "stopped" or "error"


@dataclass
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
    """A source from its opening to its end, on two threads; can be stopped and started again.

    A source that ends by itself (a file) has its verdicts in the order of its frames, each frame
    with the answers for its clips. A live source's frames never wait for the model: answers are
    taken in when they come.
    """

    def __init__(self, parts: LaneParts) -> None:
        self.parts = parts
        self.name = parts.name
        self.error: Exception | None = None
        self.end: dict[str, Any] | None = None  # the closing record
        self.abstain = ""
        self._clipper: FaceClipper | None = None  # kept over restarts: track numbers go on
        self._source: Source | None = None
        self._watch: Watch | None = None
        self._newest: Sight | None = None
        self._state: State | None = None  # overrides what the source says of itself
        self._times: deque[float] = deque(maxlen=RECENT)
        self._lock = threading.Lock()  # around the watch: its thread, and whoever asks
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- from outside

    def start(self) -> None:
        """Begin, or begin again after the end; does nothing while it runs."""
        if self.alive:
            return
        self._stop = threading.Event()
        self._state = State.CONNECTING
        self.error = self.end = self._watch = self._newest = self._source = None
        inbox: SimpleQueue[_Seen | _Asked | _Ended] = SimpleQueue()
        room = threading.Semaphore(SIGHTS)
        self._threads = [
            threading.Thread(target=work, args=(inbox, room), name=f"{role} {self.name}")
            for role, work in (("look", self._look), ("judge", self._judge))
        ]
        for thread in self._threads:
            thread.daemon = True
            thread.start()

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
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not self.alive

    def status(self) -> SourceStatus:
        """How it is doing."""
        source, sight = self._source, self._newest
        health = source.health if source is not None else Health()
        if self._state is not None:
            error = str(self.error) if self.error is not None else health.error
            health = Health(
                self._state, error, health.frames, health.reconnects, health.size, health.dropped
            )
        with self._lock:
            faces = self._watch.faces(sight) if self._watch is not None and sight else ()
        latency = self.parts.telemetry.summary(self.name).get("end_to_end", {})
        live = source.live if source is not None else True
        shown = faces if self.alive else ()
        return SourceStatus(self.name, health, live, self._rate(), shown, latency)

    def snapshot(self) -> np.ndarray | None:
        """The newest frame with its marks."""
        sight = self._newest
        if self._watch is None or sight is None:
            return None
        with self._lock:
            scene = self._watch.scene(sight)
        return overlay.draw(sight.step.frame.image, scene)

    def _rate(self) -> float:
        times = list(self._times)
        if len(times) < 2 or time.monotonic() - times[-1] > 2.0:
            return 0.0
        return (len(times) - 1) / max(times[-1] - times[0], 1e-6)

    # -- the looking thread

    def _look(self, inbox: SimpleQueue[_Seen | _Asked | _Ended], room: threading.Semaphore) -> None:
        how = "error"
        try:
            with self.parts.open_source() as source:
                self._source = source
                if self._stop.is_set():
                    source.interrupt()
                self._begin(source)
                how = self._walk(source, inbox, room)
        except UserError as error:
            self.error = error
        except OSError as error:
            self.error = UserError(f"{self.name}: reading failed: {error.strerror or error}")
        except Exception as error:  # a mistake of ours: other sources go on, the run ends with it
            self.error = error
            log.exception("%s ended by an internal error", self.name)
        finally:
            inbox.put(_Ended("stopped" if self._stop.is_set() else how))

    def _begin(self, source: Source) -> None:
        if self._clipper is None:
            self._clipper = self.parts.clipper()
        self._watch = Watch(self.parts.setting(source))
        self.abstain = self._watch.judge.policy.abstain
        self._state = None

    def _walk(
        self,
        source: Source,
        inbox: SimpleQueue[_Seen | _Asked | _Ended],
        room: threading.Semaphore,
    ) -> str:
        telemetry = self.parts.telemetry
        if self._clipper is None:
            raise ValueError("expected an opened lane")
        spotter = Spotter(self._clipper, telemetry, self.name)
        frames = iter(source)
        stage = "capture" if source.live else "decode"
        while not self._stop.is_set():
            with telemetry.measure(stage, self.name):
                frame = next(frames, None)
            if frame is None:
                return "source"
            if self.parts.limit_ms is not None and frame.time_ms >= self.parts.limit_ms:
                return "limit"
            sight = spotter.look(frame)
            self._times.append(time.monotonic())
            while not room.acquire(timeout=POLL_S):
                if self._stop.is_set():
                    return "stopped"
            self._pass_on(sight, source.live, inbox)
        return "stopped"

    def _pass_on(
        self, sight: Sight, live: bool, inbox: SimpleQueue[_Seen | _Asked | _Ended]
    ) -> None:
        overflow = Overflow.SUPERSEDE if live else Overflow.WAIT
        submit = self.parts.batcher().submit
        asked = tuple(
            _Asked(clip, sight.track(clip), sight.captured_s, submit(clip, self.name, overflow))
            for clip in sight.step.clips
        )
        if not live:
            inbox.put(_Seen(sight, asked))
            return
        inbox.put(_Seen(sight))
        for item in asked:
            item.answer.add_done_callback(lambda _, item=item: inbox.put(item))  # type: ignore[misc]

    # -- the judging thread

    def _judge(
        self, inbox: SimpleQueue[_Seen | _Asked | _Ended], room: threading.Semaphore
    ) -> None:
        begun, out = False, 0
        while not isinstance(item := inbox.get(), _Ended):
            if not begun:
                begun = self._put(self._started().begin())
            if isinstance(item, _Asked):
                out -= 1
                self._take(item)
                self._put(self._started().output())
                continue
            room.release()
            out += 0 if item.asked else len(item.sight.step.clips)
            self._handle(item)
        self._finish(item.how, begun, out, inbox)

    def _handle(self, seen: _Seen) -> None:
        watch = self._started()
        with self._lock:
            watch.see(seen.sight)
            self._newest = seen.sight
        for asked in seen.asked:
            self._take(asked)
        draw = any(outlet.wants_picture for outlet in self.parts.outlets)
        with self.parts.telemetry.measure("draw" if draw else "decide", self.name), self._lock:
            output = watch.output(draw)
        self._put(output)

    def _take(self, asked: _Asked) -> None:
        """Wait for the model's answer to a clip and take it in; a dropped clip has none."""
        if (error := asked.answer.exception()) is not None:
            self._fail(error)
            return
        answer = asked.answer.result()
        if answer is None:
            return
        with self.parts.telemetry.measure("decide", self.name), self._lock:
            self._started().score(asked.clip, asked.track, answer.probability, answer.heat)
        elapsed = time.monotonic() - asked.captured_s
        self.parts.telemetry.observe("end_to_end", elapsed, self.name)

    def _fail(self, error: BaseException) -> None:
        """The model itself failed: this lane cannot go on."""
        if self.error is None:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.error = UserError(f"the model failed on {self.name}: {reason}")
        self.stop()

    def _finish(
        self,
        how: str,
        begun: bool,
        out: int,
        inbox: SimpleQueue[_Seen | _Asked | _Ended],
    ) -> None:
        until = time.monotonic() + LAST_ANSWERS_S
        while out > 0 and (left := until - time.monotonic()) > 0:
            try:
                item = inbox.get(timeout=left)
            except Empty:  # they did not come in time
                break
            if isinstance(item, _Asked):
                out -= 1
                self._take(item)
        if self.error is not None:
            how = "error"
        watch = self._watch
        if watch is not None and (begun or how != "error"):
            if not begun:
                self._put(watch.begin())
            dropped = self._source.dropped if self._source is not None else 0
            summary = self.parts.telemetry.summary(self.name)
            last = watch.end(how, dropped, summary)
            self.end = last.records[-1]
            self._put(last)
        ended = State.STOPPED if how in ("stopped", "limit") else State.ENDED
        self._state = State.FAILED if how == "error" else ended

    def _started(self) -> Watch:
        if self._watch is None:
            raise ValueError("expected a frame before its verdict")
        return self._watch

    def _put(self, output: Output) -> bool:
        for outlet in self.parts.outlets:
            outlet.put(output)
        return True
