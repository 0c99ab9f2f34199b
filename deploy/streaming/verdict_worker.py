"""The thread of a source that makes verdicts of frames and answers, and hands them to the sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from deploy.control import FaceStatus
from deploy.drawing import overlay
from deploy.judging.frame_result import Sight
from deploy.judging.records import Record
from deploy.judging.session import SourceJudge
from deploy.sinks import Output
from deploy.streaming.messages import Asked, Ended, Inbox, Seen
from deploy.streaming.sink_worker import Outlet
from deploy.telemetry import NullTelemetry

LAST_ANSWERS_S = 1.0  # how long the end waits for answers that are still out


class Decider:
    """Drives a `SourceJudge`; `run` belongs to one thread, the rest may be asked from any.

    Args:
        judge: The state of the source.
        inbox: Frames, answers, and the end.
        outlets: Where results go.
        telemetry: Observer.
        on_failure: Called with the model's error when it fails.
        fps: Asked for the source's nominal rate with its first frame.
    """

    def __init__(
        self,
        judge: SourceJudge,
        inbox: Inbox,
        outlets: Sequence[Outlet],
        telemetry: NullTelemetry,
        on_failure: Callable[[BaseException], None],
        fps: Callable[[], float],
    ) -> None:
        self.judge = judge
        self._name = judge.setting.source
        self._inbox = inbox
        self._outlets = outlets
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._fps = fps
        self._lock = threading.Lock()  # around the judge
        self._sight: Sight | None = None
        self._begun = False
        self._out = 0  # answers of a live source that are still to come

    def run(self) -> str:
        """Take messages until the end comes; returns how it ended."""
        while True:
            message = self._inbox.get()
            if isinstance(message, Ended):
                break
            self.begin()
            if isinstance(message, Asked):
                self._answered(message)
            elif message is not None:
                self._seen(message)
        until = time.monotonic() + LAST_ANSWERS_S
        while self._out > 0 and (left := until - time.monotonic()) > 0:
            late = self._inbox.get(left)
            if isinstance(late, Asked):
                self._answered(late)
        return message.how

    def begin(self) -> None:
        """Put the first output, unless that was done."""
        if not self._begun:
            self._begun = True
            self._put(self.judge.begin(self._fps()))

    @property
    def begun(self) -> bool:
        """Whether there was a frame."""
        return self._begun

    def finish(self, how: str, dropped: int) -> Record:
        """Put the last output and return its record."""
        last = self.judge.end(how, dropped, self._telemetry.summary(self._name))
        self._put(last)
        return last.records[-1]

    def faces(self) -> tuple[FaceStatus, ...]:
        """The faces in the newest frame."""
        with self._lock:
            return self.judge.faces(self._sight) if self._sight is not None else ()

    def picture(self) -> np.ndarray | None:
        """The newest frame with its marks; drawn on the caller's thread."""
        with self._lock:
            sight = self._sight
            if sight is None:
                return None
            scene = self.judge.scene(sight)
        return overlay.draw(sight.step.frame.image, scene)

    def _seen(self, seen: Seen) -> None:
        with self._lock:
            self.judge.see(seen.sight)
            self._sight = seen.sight
        if not seen.asked:
            self._out += len(seen.sight.step.clips)
        for asked in seen.asked:
            self._take(asked)
        draw = any(outlet.wants_picture for outlet in self._outlets)
        with self._telemetry.measure("draw" if draw else "decide", self._name), self._lock:
            output = self.judge.output(draw)
        self._put(output)

    def _answered(self, asked: Asked) -> None:
        self._out -= 1
        self._take(asked)
        with self._lock:
            output = self.judge.output()
        self._put(output)

    def _take(self, asked: Asked) -> None:
        """Wait for the model's answer to a clip and take it in; a dropped clip has none."""
        if (error := asked.answer.exception()) is not None:
            self._on_failure(error)
            return
        answer = asked.answer.result()
        if answer is None:
            self.judge.miss(asked.clip)
            return
        with self._telemetry.measure("decide", self._name), self._lock:
            self.judge.score(asked.clip, asked.track, answer.probability, answer.heat)
        self._telemetry.observe("end_to_end", time.monotonic() - asked.captured_s, self._name)

    def _put(self, output: Output) -> None:
        if output.records or output.frame is not None or output.scored:
            for outlet in self._outlets:
                outlet.put(output)
