"""Reading ahead: nothing is lost, no more than a few frames are held, errors and ends arrive."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from deploy.sources.base import Source
from deploy.sources.recorded_source import AHEAD, ReadAhead
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame

LONG_S = 30.0


class Counted(Source):
    """Forty frames; says how many were asked for; may break off, or hang in the driver."""

    name, live = "counted", False
    fps, length = 30.0, 40

    def __init__(self, then: str = "end") -> None:
        self.then = then
        self.given = 0
        self.moved = threading.Condition()
        self.gate = threading.Event()
        self.closed = False

    def __iter__(self) -> Iterator[Frame]:
        for index in range(40):
            with self.moved:
                self.given += 1
                self.moved.notify_all()
            yield Frame(np.full((2, 2, 3), index, np.uint8), index * 40.0, index)
        if self.then == "break":
            raise UserError("lost it", 3)
        if self.then == "hang":
            assert self.gate.wait(LONG_S)

    def close(self) -> None:
        self.closed = True


def test_every_frame_comes_in_order_and_few_are_held() -> None:
    source = Counted()
    with ReadAhead(source, NullTelemetry()) as ahead:
        frames = iter(ahead)
        first = next(frames)
        with source.moved:  # it reads on until so many wait, and one more is in its hands
            assert source.moved.wait_for(lambda: source.given == AHEAD + 2, LONG_S)
            assert not source.moved.wait_for(lambda: source.given > AHEAD + 2, 0.3)
        rest = list(frames)
        assert [frame.index for frame in (first, *rest)] == list(range(40))
        assert (ahead.fps, ahead.length, ahead.name) == (30.0, 40, "counted")
    assert source.closed


def test_what_breaks_off_gives_its_frames_and_then_its_error() -> None:
    with ReadAhead(Counted("break"), NullTelemetry()) as ahead:
        frames = iter(ahead)
        assert [next(frames).index for _ in range(40)] == list(range(40))
        with pytest.raises(UserError, match="lost it"):
            next(frames)


def test_a_reader_that_hangs_is_left_and_its_source_is_not_closed_under_it() -> None:
    source = Counted("hang")
    ahead = ReadAhead(source, NullTelemetry())
    frames = iter(ahead)
    for _ in range(40):
        next(frames)
    ahead.interrupt()
    assert next(frames, None) is None
    ahead.close()
    assert not source.closed
    source.gate.set()
