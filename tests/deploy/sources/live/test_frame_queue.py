"""The queue between a source's thread and its reader: never behind, never stuck, nothing leaked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

import numpy as np
import pytest

from deploy.sources.live.live_source import MAX_FRAMES, DropPolicy, FrameQueue
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame


def frames_at(times: list[float]) -> Generator[Frame, None, None]:
    for index, time_ms in enumerate(times):
        yield Frame(np.zeros((2, 2, 3), np.uint8), time_ms, index)


def live_queue(grab: Callable[[], Generator[Frame, None, None]]) -> FrameQueue:
    return FrameQueue(grab, "door", NullTelemetry(), DropPolicy.BACKLOG, max_age_ms=1000.0)


def until_ended(queue: FrameQueue) -> None:
    deadline = time.monotonic() + 5.0
    while not queue.ended and time.monotonic() < deadline:
        time.sleep(0.005)


def gated(times: list[float], gate: threading.Event) -> Generator[Frame, None, None]:
    """The first frame, and the rest when it has been read."""
    for frame in frames_at(times):
        if frame.index == 1:
            gate.wait(10.0)
        yield frame


def test_a_backlog_goes_at_once_so_that_what_follows_is_whole() -> None:
    gate = threading.Event()
    times = [i * 100.0 for i in range(26)]
    queue = live_queue(lambda: gated(times, gate))
    reader = iter(queue)
    assert next(reader).index == 0
    gate.set()
    until_ended(queue)
    # 1 … 11 wait when 12 comes, which is 1100 ms younger than 1: they go; so do 12 … 22 for 23
    assert [frame.index for frame in reader] == [23, 24, 25]
    assert queue.dropped == 22


def test_the_queue_is_bounded_in_frames_too() -> None:
    gate = threading.Event()
    queue = live_queue(lambda: gated([i * 1.0 for i in range(MAX_FRAMES + 2)], gate))
    reader = iter(queue)
    next(reader)
    gate.set()
    until_ended(queue)
    assert [frame.index for frame in reader] == [MAX_FRAMES + 1]
    assert queue.dropped == MAX_FRAMES


def test_a_recording_waits_for_its_reader() -> None:
    depths: list[int] = []

    class Listener(NullTelemetry):
        def depth(self, name: str, length: int) -> None:
            assert name == "frames door"
            depths.append(length)

    times = [i * 1000.0 for i in range(3 * MAX_FRAMES)]
    queue = FrameQueue(lambda: frames_at(times), "door", Listener(), DropPolicy.NONE)
    assert [frame.time_ms for frame in queue] == times
    assert queue.dropped == 0
    assert 0 < max(depths) <= MAX_FRAMES and depths[-1] == 0


def test_the_queue_passes_on_the_error_of_its_source() -> None:
    def broken() -> Generator[Frame, None, None]:
        yield from frames_at([0.0])
        raise UserError("lost the camera", 3)

    reader = iter(live_queue(broken))
    assert next(reader).index == 0
    with pytest.raises(UserError, match="lost the camera"):
        next(reader)


def test_an_interrupted_queue_ends_although_its_source_hangs() -> None:
    gate = threading.Event()
    released = threading.Event()

    def hanging() -> Generator[Frame, None, None]:
        try:
            yield from frames_at([0.0])
            gate.wait(30.0)
            yield from frames_at([1.0])
        finally:
            released.set()

    queue = live_queue(hanging)
    reader = iter(queue)
    next(reader)
    threading.Timer(0.1, queue.interrupt).start()
    started = time.monotonic()
    assert next(reader, None) is None
    assert not queue.close()  # hangs still, and says so
    assert time.monotonic() - started < 5.0  # 2 s are promised
    assert not released.is_set()
    gate.set()
    assert released.wait(5.0)  # by the thread itself, when what hung has returned


def test_several_hanging_queues_share_the_time_to_close() -> None:
    gate = threading.Event()

    def hanging() -> Generator[Frame, None, None]:
        gate.wait(30.0)
        yield from frames_at([0.0])

    queues = [live_queue(hanging) for _ in range(4)]
    for queue in queues:
        threading.Thread(target=lambda q=queue: next(iter(q), None), daemon=True).start()
    started = time.monotonic()
    for queue in queues:
        queue.interrupt()
    for queue in queues:
        queue.close()
    assert time.monotonic() - started < 5.0  # 4 × 1.5 s would be 6
    gate.set()
