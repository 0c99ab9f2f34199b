"""The thread of a source that reads frames, finds faces and asks the model about their clips."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial

from deploy.judging.session import RunDescription
from deploy.sources import Source
from deploy.streaming.micro_batcher import MicroBatcher, Overflow
from deploy.streaming.verdict_worker import FrameMessage, MessageQueue, PendingClip
from keras_ddl.edge.clipper import FaceClipper, FrameResult

RECENT = 50  # frames that the rate is taken over
PAUSE_S = 2.0  # without a frame for so long the rate is 0


class FaceWorker:
    """Walks through one source.

    Frames of a source that ends by itself are handed over with their answers to come: their
    verdicts keep their order. A live source's frames are handed over at once, answers follow.

    Args:
        run: Observer, and the time of the source at which it ends.
        source: Frames, opened.
        clipper: Finds faces and clips.
        batcher: The model.
        messages: Where frames, and a live source's answers, go.
    """

    def __init__(
        self,
        run: RunDescription,
        source: Source,
        clipper: FaceClipper,
        batcher: MicroBatcher,
        messages: MessageQueue,
    ) -> None:
        self._run = run
        self._source = source
        self._clipper = clipper
        self._batcher = batcher
        self._messages = messages
        self._times: deque[float] = deque(maxlen=RECENT)
        clipper.measure = partial(run.telemetry.measure, source=source.name)

    @property
    def fps(self) -> float:
        """Frames per second handled lately; may be asked from any thread."""
        times = list(self._times)
        if len(times) < 2 or time.monotonic() - times[-1] > PAUSE_S:
            return 0.0
        return (len(times) - 1) / max(times[-1] - times[0], 1e-6)

    def walk(self, stop: Callable[[], bool]) -> str:
        """Go through the source; returns how it ended: "source", "limit" or "stopped".

        Raises:
            UserError: the source broke off.
        """
        source, limit_ms = self._source, self._run.limit_ms
        frames = iter(source)
        while not stop():
            with self._run.telemetry.measure("capture", source.name):
                frame = next(frames, None)
            if frame is None:
                return "source"
            if limit_ms is not None and frame.time_ms >= limit_ms:
                return "limit"
            now = time.monotonic()
            captured = now if source.epoch is None else source.epoch + frame.time_ms / 1000.0
            result = self._clipper.push(frame)
            self._times.append(now)
            if not self._hand_over(result, captured, stop):
                return "stopped"
        return "stopped"

    def _hand_over(self, result: FrameResult, captured_s: float, stop: Callable[[], bool]) -> bool:
        if not self._source.live:
            pending = self._ask(result, captured_s, Overflow.WAIT)
            return self._messages.put_frame(FrameMessage(result, pending), stop)
        if not self._messages.put_frame(FrameMessage(result), stop):
            return False
        for clip in self._ask(result, captured_s, Overflow.SUPERSEDE):
            clip.answer.add_done_callback(lambda _, clip=clip: self._messages.put(clip))  # type: ignore[misc]
        return True

    def _ask(
        self, result: FrameResult, captured_s: float, overflow: Overflow
    ) -> tuple[PendingClip, ...]:
        """Hand the frame's clips to the model."""
        return tuple(
            PendingClip(
                clip,
                result.track(clip),
                captured_s,
                self._batcher.submit(clip, self._source.name, overflow),
            )
            for clip in result.clips
        )
