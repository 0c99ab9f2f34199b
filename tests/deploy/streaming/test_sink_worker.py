"""A sink on its own thread: order, loss, failure, and that nobody waits who must not."""

from __future__ import annotations

import logging
import threading

import numpy as np
import pytest

from deploy.sinks import Output, Sink
from deploy.streaming.sink_worker import PICTURES, SinkWorker
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame

LONG_S = 30.0
FRAME = Frame(np.zeros((2, 2, 3), np.uint8), 0.0, 0)


class Slow(Sink):
    """Waits at a gate, remembers what it got."""

    name = "slow"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.busy = threading.Event()
        self.got: list[Output] = []
        self.closed = False

    def write(self, output: Output) -> None:
        self.busy.set()
        assert self.gate.wait(LONG_S)
        self.got.append(output)

    def close(self) -> None:
        self.closed = True


def record(number: int) -> dict[str, object]:
    return {"type": "clip", "number": number}


def full(patient: bool) -> tuple[Slow, SinkWorker]:
    """A worker whose sink is busy and whose queue is full of frames with a record in each."""
    sink = Slow()
    worker = SinkWorker(sink, patient)
    worker.put(Output((record(-1),)))
    assert sink.busy.wait(LONG_S)
    for number in range(PICTURES):
        worker.put(Output((record(number),), FRAME))
    return sink, worker


def test_an_impatient_outlet_gives_up_the_oldest_frames_and_no_record() -> None:
    sink, worker = full(patient=False)
    for number in range(PICTURES, PICTURES + 10):
        worker.put(Output((record(number),), FRAME))
    worker.put(Output((), FRAME))  # nothing but a frame
    sink.gate.set()
    assert worker.close(LONG_S)
    numbers = [entry["number"] for output in sink.got for entry in output.records]
    assert numbers == list(range(-1, PICTURES + 10))
    framed = [output.frame is not None for output in sink.got]
    assert framed == [False] * 12 + [True] * PICTURES
    assert (worker.lost, sink.closed) == (11, True)


def test_frames_without_records_go_altogether() -> None:
    sink = Slow()
    worker = SinkWorker(sink, patient=False)
    worker.put(Output((record(-1),)))
    assert sink.busy.wait(LONG_S)
    for _ in range(PICTURES + 5):
        worker.put(Output((), FRAME))
    sink.gate.set()
    assert worker.close(LONG_S)
    assert len(sink.got) == 1 + PICTURES


def test_a_patient_outlet_lets_its_source_wait() -> None:
    sink, worker = full(patient=True)
    late = threading.Thread(target=lambda: worker.put(Output((record(PICTURES),), FRAME)))
    late.start()
    late.join(0.3)
    assert late.is_alive()
    sink.gate.set()
    late.join(LONG_S)
    assert worker.close(LONG_S)
    numbers = [entry["number"] for output in sink.got for entry in output.records]
    assert numbers == list(range(-1, PICTURES + 1))
    assert all(output.frame is not None for output in sink.got[1:])


def test_a_sink_that_fails_gets_the_next_output_and_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Full(Slow):
        def write(self, output: Output) -> None:
            if output.records[0]["number"] < 3:
                raise UserError("no room on the disk", 3)
            super().write(output)

    sink = Full()
    sink.gate.set()
    worker = SinkWorker(sink, patient=True, clock=lambda: 0.0)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            worker.put(Output((record(number),)))
        assert worker.close(LONG_S)
    assert [output.records[0]["number"] for output in sink.got] == [3, 4]
    assert worker.failures == 3
    assert str(worker.error) == "no room on the disk"
    lines = [entry.getMessage() for entry in caplog.records]
    assert lines == ["slow failed, the run goes on: no room on the disk"]


def test_a_reader_that_left_is_told_once_and_nothing_is_written_any_more() -> None:
    class Pipe(Slow):
        def write(self, output: Output) -> None:
            raise BrokenPipeError

    told: list[int] = []
    worker = SinkWorker(Pipe(), patient=True, on_broken_pipe=lambda: told.append(1))
    for number in range(2 * PICTURES):  # more than wait: a broken worker lets nobody wait
        worker.put(Output((record(number),)))
    assert worker.close(LONG_S)
    assert told == [1]
    assert worker.error is None


def test_a_sink_that_hangs_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    sink, worker = full(patient=False)
    with caplog.at_level(logging.WARNING):
        assert not worker.close(0.05)
    assert f"slow did not finish in time: {PICTURES} outputs are lost" in caplog.text
    sink.gate.set()
    assert worker.close(LONG_S)
