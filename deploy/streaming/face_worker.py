"""The thread of a source that reads frames, finds faces and asks the model about their clips."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from deploy.judging.frame_result import Sight, Spotter
from deploy.sources import Source
from deploy.streaming.messages import Asked, Inbox, Seen
from deploy.streaming.micro_batcher import MicroBatcher, Overflow
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clipper import FaceClipper

RECENT = 50  # frames that the rate is taken over
PAUSE_S = 2.0  # without a frame for so long the rate is 0


class Looker:
    """Walks through one source.

    Frames of a source that ends by itself are handed over with their answers to come: their
    verdicts keep their order. A live source's frames are handed over at once, answers follow.

    Args:
        name: Of the source.
        clipper: Finds faces and clips.
        batcher: The model.
        inbox: Where frames, and a live source's answers, go.
        telemetry: Observer.
        limit_ms: End at this time of the source.
    """

    def __init__(
        self,
        name: str,
        clipper: FaceClipper,
        batcher: MicroBatcher,
        inbox: Inbox,
        telemetry: NullTelemetry,
        limit_ms: float | None,
    ) -> None:
        self._name = name
        self._spotter = Spotter(clipper, telemetry, name)
        self._batcher = batcher
        self._inbox = inbox
        self._telemetry = telemetry
        self._limit_ms = limit_ms
        self._times: deque[float] = deque(maxlen=RECENT)

    @property
    def fps(self) -> float:
        """Frames per second handled lately; may be asked from any thread."""
        times = list(self._times)
        if len(times) < 2 or time.monotonic() - times[-1] > PAUSE_S:
            return 0.0
        return (len(times) - 1) / max(times[-1] - times[0], 1e-6)

    def walk(self, source: Source, stop: Callable[[], bool]) -> str:
        """Go through the source; returns how it ended: "source", "limit" or "stopped".

        Raises:
            UserError: the source broke off.
        """
        frames = iter(source)
        while not stop():
            with self._telemetry.measure("capture", self._name):
                frame = next(frames, None)
            if frame is None:
                return "source"
            if self._limit_ms is not None and frame.time_ms >= self._limit_ms:
                return "limit"
            now = time.monotonic()
            captured = now if source.epoch is None else source.epoch + frame.time_ms / 1000.0
            sight = self._spotter.look(frame, captured)
            self._times.append(now)
            if not self._hand_over(sight, source.live, stop):
                return "stopped"
        return "stopped"

    def _hand_over(self, sight: Sight, live: bool, stop: Callable[[], bool]) -> bool:
        if not live:
            return self._inbox.put_seen(Seen(sight, self._ask(sight, Overflow.WAIT)), stop)
        if not self._inbox.put_seen(Seen(sight), stop):
            return False
        for asked in self._ask(sight, Overflow.SUPERSEDE):
            asked.answer.add_done_callback(lambda _, asked=asked: self._inbox.put(asked))  # type: ignore[misc]
        return True

    def _ask(self, sight: Sight, overflow: Overflow) -> tuple[Asked, ...]:
        """Hand the frame's clips to the model."""
        return tuple(
            Asked(
                clip,
                sight.track(clip),
                sight.captured_s,
                self._batcher.submit(clip, self._name, overflow),
            )
            for clip in sight.step.clips
        )
