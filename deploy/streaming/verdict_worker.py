"""Verdict worker: the thread of a source that judges frames and answers, and its messages."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np

from deploy.control import FaceStatus
from deploy.drawing import overlay
from deploy.drawing.scene import annotated, scene_of
from deploy.judging.output import Output
from deploy.judging.records import Record
from deploy.judging.session import SourceJudge
from deploy.streaming.micro_batcher import AnswerFuture
from deploy.streaming.sink_worker import SinkWorker
from keras_ddl.edge.clipper import FrameResult
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces import Track

WAITING = 16  # frames that may wait for their verdict
POLL_S = 0.1
LAST_ANSWERS_S = 1.0  # how long the end waits for answers that are still out


@dataclass(frozen=True)
class PendingClip:
    """A clip that the model was asked about, and the future that has its answer."""

    clip: Clip
    track: Track
    captured_s: float
    answer: AnswerFuture


@dataclass(frozen=True)
class FrameMessage:
    """A frame's result; with `pending`, its verdict waits for the answers."""

    result: FrameResult
    pending: tuple[PendingClip, ...] = ()


@dataclass(frozen=True)
class EndMessage:
    """The last message; how it ended: "source", "limit", "stopped" or "error"."""

    how: str


class MessageQueue:
    """Messages in order. Frames are bounded and make their sender wait, answers never do."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[FrameMessage | PendingClip | EndMessage] = SimpleQueue()
        self._room = threading.Semaphore(WAITING)

    def put_frame(self, message: FrameMessage, stop: Callable[[], bool]) -> bool:
        """Put a frame when there is room; false when `stop` said so before that."""
        while not self._room.acquire(timeout=POLL_S):
            if stop():
                return False
        self._messages.put(message)
        return True

    def put(self, message: PendingClip | EndMessage) -> None:
        """Put an answer or the end."""
        self._messages.put(message)

    def get(self, timeout_s: float | None = None) -> FrameMessage | PendingClip | EndMessage | None:
        """Take the next message; None when none came in time."""
        try:
            message = self._messages.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(message, FrameMessage):
            self._room.release()
        return message


class VerdictWorker:
    """The driver of a `SourceJudge`; `run` belongs to one thread, the rest may be asked from any.

    Args:
        judge: The state of the source.
        messages: Frames, answers, and the end.
        sinks: Where results go.
        on_failure: Called with the model's error when it fails.

    Attributes:
        begun: Whether there was a frame.
    """

    def __init__(
        self,
        judge: SourceJudge,
        messages: MessageQueue,
        sinks: Sequence[SinkWorker],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.judge = judge
        self._name = judge.source.name
        self._telemetry = judge.run.telemetry
        self._messages = messages
        self._sinks = sinks
        self._on_failure = on_failure
        self._lock = threading.Lock()  # around the judge
        self._result: FrameResult | None = None
        self.begun = False
        self._out = 0  # answers of a live source that are still to come

    def run(self) -> str:
        """Take messages until the end comes; returns how it ended."""
        while True:
            message = self._messages.get()
            if isinstance(message, EndMessage):
                break
            self.begin()
            if isinstance(message, PendingClip):
                self._answered(message)
            elif message is not None:
                self._seen(message)
        until = time.monotonic() + LAST_ANSWERS_S
        while self._out > 0 and (left := until - time.monotonic()) > 0:
            late = self._messages.get(left)
            if isinstance(late, PendingClip):
                self._answered(late)
        return message.how

    def begin(self) -> None:
        """Put the first output, unless that was done."""
        if not self.begun:
            self.begun = True
            self._put(self.judge.begin())

    def finish(self, how: str) -> Record:
        """Put the last output and return its record."""
        dropped = self.judge.source.dropped
        last = self.judge.end(how, dropped, self._telemetry.summary(self._name))
        self._put(last)
        return last.records[-1]

    def faces(self) -> tuple[FaceStatus, ...]:
        """Return the faces in the newest frame."""
        with self._lock:
            return self.judge.faces(self._result) if self._result is not None else ()

    def picture(self) -> np.ndarray | None:
        """Return the newest frame with its marks; drawn on the caller's thread."""
        with self._lock:
            result = self._result
            if result is None:
                return None
            scene = scene_of(self.judge, result)
        return overlay.draw(result.frame.image, scene)

    def _seen(self, message: FrameMessage) -> None:
        result = message.result
        with self._lock:
            self.judge.see(result)
            self._result = result
        if not message.pending:
            self._out += len(result.clips)
        for pending in message.pending:
            self._take(pending)
        draw = any(sink.wants_picture for sink in self._sinks)
        with self._telemetry.measure("draw" if draw else "decide", self._name), self._lock:
            output = self.judge.output(annotated(self.judge, result) if draw else None)
        self._put(output)

    def _answered(self, pending: PendingClip) -> None:
        self._out -= 1
        self._take(pending)
        with self._lock:
            output = self.judge.output()
        self._put(output)

    def _take(self, pending: PendingClip) -> None:
        """Wait for the model's answer to a clip and take it in; a dropped clip has none."""
        if (error := pending.answer.exception()) is not None:
            self._on_failure(error)
            return
        answer = pending.answer.result()
        if answer is None:
            self.judge.miss(pending.clip)
            return
        with self._telemetry.measure("decide", self._name), self._lock:
            self.judge.score(pending.clip, pending.track, answer.probability, answer.heat)
        self._telemetry.observe("end_to_end", time.monotonic() - pending.captured_s, self._name)

    def _put(self, output: Output) -> None:
        if output.records or output.frame is not None or output.scored:
            for sink in self._sinks:
                sink.put(output)
