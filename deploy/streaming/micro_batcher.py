"""Batches of clips of all tracks and sources, never waiting past a deadline."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from deploy.backends import Backend
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces.map_kind import kind_among

WAITING = 64  # clips of patient sources that may wait
POLL_S = 0.2


class Overflow(Enum):
    """The fate of a clip when the model is slower than its source."""

    WAIT = "wait"  # the source waits: files, every clip counts
    SUPERSEDE = "supersede"  # a newer clip of the same track takes its place: live sources


@dataclass(frozen=True)
class Answer:
    """What the model said of a clip: `fake_probability`, and its map (T, h, w)."""

    probability: float
    heat: np.ndarray | None = None


def answers_of(backend: Backend, clips: Sequence[np.ndarray]) -> list[Answer]:
    """Ask a model about clips, uint8 (T, S, S, 3) each, in one call."""
    outputs = backend.infer({"clip": np.stack(clips)})
    kind = kind_among(outputs)
    maps = None if kind is None else outputs[kind.output]
    return [
        Answer(float(score), None if maps is None else maps[index])
        for index, score in enumerate(outputs["fake_probability"])
    ]


AnswerFuture = Future[Answer | None]


@dataclass(eq=False)  # a job equals itself alone
class _Job:
    clip: Clip
    source: str
    overflow: Overflow
    answer: AnswerFuture = field(default_factory=Future)

    @property
    def key(self) -> tuple[str, int]:
        return self.source, self.clip.track_id


def batch_size(backend: Backend, asked: int | None) -> int:
    """Return how many clips one call of a model may have.

    Args:
        backend: The model; a fixed batch, or the largest that it was built for, binds.
        asked: By the user; None is what is usual for the machine.

    Raises:
        ValueError: `asked` is below 1.
    """
    if asked is not None and asked < 1:
        raise ValueError(f"expected max_batch >= 1, received {asked}")
    fixed = backend.inputs[0].shape[0]
    size = fixed or asked or backend.usual_batch
    return min(size, backend.largest_batch or size)


class MicroBatcher:
    """The model on a thread of its own, from `start` to `close`.

    Args:
        backend: The model; no other thread may use it meanwhile.
        max_batch: Most clips in one call as the user asked, see `batch_size`.
        deadline_s: How long the first clip of a batch waits for others.
        telemetry: Is told durations ("infer"), drops ("superseded") and the queue's length.

    Attributes:
        max_batch: Most clips that one call will have.
    """

    def __init__(
        self,
        backend: Backend,
        max_batch: int | None,
        deadline_s: float,
        telemetry: NullTelemetry,
    ) -> None:
        if not deadline_s >= 0.0:
            raise ValueError(f"expected deadline_s >= 0, received {deadline_s}")
        self._backend = backend
        self._fixed = backend.inputs[0].shape[0]
        self.max_batch = batch_size(backend, max_batch)
        self._deadline_s = deadline_s
        self._telemetry = telemetry
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="infer", daemon=True)

    def start(self) -> None:
        """Begin to answer; once."""
        self._thread.start()

    def submit(self, clip: Clip, source: str, overflow: Overflow) -> AnswerFuture:
        """Hand in a clip; the future gives the model's answer, or None where it was dropped.

        With `Overflow.WAIT` this returns when there is room in the queue.
        """
        job = _Job(clip, source, overflow)
        with self._changed:
            if overflow is Overflow.WAIT:
                while len(self._jobs) >= WAITING and not self._closed:
                    self._changed.wait(POLL_S)
            older = self._older(job) if overflow is Overflow.SUPERSEDE else None
            if self._closed:
                older, job.answer = None, Future()
                job.answer.set_result(None)
            else:
                self._jobs.append(job)
            self._telemetry.depth("infer", len(self._jobs))
            self._changed.notify_all()
        if older is not None:
            self._telemetry.drop("superseded", source)
            older.answer.set_result(None)
        return job.answer

    def _older(self, job: _Job) -> _Job | None:
        """Take a waiting clip of the same track out of the queue."""
        for waiting in self._jobs:
            if waiting.key == job.key and waiting.overflow is Overflow.SUPERSEDE:
                self._jobs.remove(waiting)
                return waiting
        return None

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self, timeout_s: float) -> bool:
        """Drop what waits and end the thread; returns whether it has ended in time."""
        with self._changed:
            self._closed = True
            left = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for job in left:
            job.answer.set_result(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            try:
                answers = self._infer(batch)
            except Exception as error:  # the runtime's own; raised again where it is waited for
                for job in batch:
                    job.answer.set_exception(error)
                continue
            for job, answer in zip(batch, answers, strict=True):
                job.answer.set_result(answer)

    def _next_batch(self) -> list[_Job] | None:
        """Wait for a clip, then a little for more; None when closed."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            until = time.monotonic() + self._deadline_s
            while len(self._jobs) < self.max_batch and not self._closed:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            if self._closed:
                return None
            size = min(len(self._jobs), self.max_batch)
            batch = [self._jobs.popleft() for _ in range(size)]
            self._telemetry.depth("infer", len(self._jobs))
            self._changed.notify_all()
            return batch

    def _infer(self, batch: list[_Job]) -> list[Answer]:
        clips = [job.clip.frames for job in batch]
        if self._fixed:
            clips += [clips[-1]] * (self._fixed - len(clips))
        started, cpu_started = time.perf_counter(), time.thread_time()
        answers = answers_of(self._backend, clips)
        seconds, cpu = time.perf_counter() - started, time.thread_time() - cpu_started
        sources = {job.source for job in batch}
        for source in sources:  # each waited for the whole call, and caused a part of its work
            self._telemetry.observe("infer", seconds, source, cpu / len(sources))
        return answers[: len(batch)]
