"""Batches: whose clip gets which answer, who waits, what is dropped. Time is counted in events."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import numpy as np
import pytest

from deploy.backends import Backend, TensorSpec
from deploy.streaming.micro_batcher import WAITING, MicroBatcher, Overflow, batch_size
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clips import Clip

LONG_S = 30.0


class Brightness(Backend):
    """Answers with the mean of a clip; waits at a gate, and remembers its batches."""

    name = "brightness"
    metadata: Mapping[str, str] = {}

    def __init__(self, batch: int | None = None) -> None:
        self.inputs = (TensorSpec("clip", np.dtype(np.uint8), (batch, 2, 4, 4, 3)),)
        self.outputs = (TensorSpec("fake_probability", np.dtype(np.float32), (batch,)),)
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []

    def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        means = feed["clip"].mean(axis=(1, 2, 3, 4))
        self.batches.append([int(value) for value in means])
        self.entered.release()
        assert self.gate.wait(LONG_S)
        return {"fake_probability": means.astype(np.float32)}


class Drops(NullTelemetry):
    def __init__(self) -> None:
        self.dropped: list[tuple[str, str]] = []

    def drop(self, cause: str, source: str = "", count: int = 1) -> None:
        self.dropped.append((cause, source))


def clip(value: int, track: int = 1) -> Clip:
    return Clip(np.full((2, 4, 4, 3), value, np.uint8), np.array([0.0, 40.0]), track)


def started(
    backend: Brightness, max_batch: int | None = None, telemetry: NullTelemetry | None = None
) -> MicroBatcher:
    batcher = MicroBatcher(backend, max_batch, 0.0, telemetry or NullTelemetry())
    batcher.start()
    return batcher


def busy(backend: Brightness, batcher: MicroBatcher) -> None:
    """Occupy the model with a clip of its own, so that what follows has to wait."""
    batcher.submit(clip(200, 99), "other", Overflow.WAIT)
    assert backend.entered.acquire(timeout=LONG_S)


def test_clips_that_wait_together_share_calls_and_get_their_own_answers() -> None:
    backend = Brightness()
    batcher = started(backend, max_batch=3)
    busy(backend, batcher)
    sources = ["a", "b", "a", "b", "a"]
    futures = [
        batcher.submit(clip(10 + i, track=i), source, Overflow.WAIT)
        for i, source in enumerate(sources)
    ]
    backend.gate.set()
    answers = [future.result(LONG_S) for future in futures]
    assert [answer.probability for answer in answers] == [10, 11, 12, 13, 14]
    assert backend.batches == [[200], [10, 11, 12], [13, 14]]
    assert batcher.close(LONG_S)


def test_a_newer_clip_of_a_live_track_takes_the_place_of_a_waiting_one() -> None:
    backend, telemetry = Brightness(), Drops()
    batcher = started(backend, telemetry=telemetry)
    busy(backend, batcher)
    first = batcher.submit(clip(1, track=5), "door", Overflow.SUPERSEDE)
    other_track = batcher.submit(clip(2, track=6), "door", Overflow.SUPERSEDE)
    other_source = batcher.submit(clip(3, track=5), "gate", Overflow.SUPERSEDE)
    second = batcher.submit(clip(4, track=5), "door", Overflow.SUPERSEDE)
    assert first.result(LONG_S) is None
    backend.gate.set()
    rest = [future.result(LONG_S) for future in (other_track, other_source, second)]
    assert [answer.probability for answer in rest] == [2, 3, 4]
    assert telemetry.dropped == [("superseded", "door")]
    batcher.close(LONG_S)


def test_a_patient_source_waits_for_room_and_loses_nothing() -> None:
    backend = Brightness()
    batcher = started(backend, max_batch=8)
    busy(backend, batcher)
    futures = [batcher.submit(clip(i), "file", Overflow.WAIT) for i in range(WAITING)]
    late = threading.Thread(
        target=lambda: futures.append(batcher.submit(clip(99), "file", Overflow.WAIT))
    )
    late.start()
    late.join(0.3)
    assert late.is_alive()  # no room
    backend.gate.set()
    late.join(LONG_S)
    values = [future.result(LONG_S).probability for future in futures]
    assert values == [*range(WAITING), 99]
    batcher.close(LONG_S)


def test_a_fixed_batch_is_filled_up_and_the_filling_gives_no_answer() -> None:
    backend = Brightness(batch=4)
    backend.gate.set()
    batcher = started(backend)
    assert batcher.submit(clip(7), "a", Overflow.WAIT).result(LONG_S).probability == 7
    assert backend.batches == [[7, 7, 7, 7]]
    batcher.close(LONG_S)


def test_a_failing_model_tells_those_who_asked_and_goes_on() -> None:
    class Once(Brightness):
        def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            if not self.batches:
                self.batches.append([])
                raise RuntimeError("out of memory")
            return super()._run(feed)

    backend = Once()
    backend.gate.set()
    batcher = started(backend)
    failed = batcher.submit(clip(1), "a", Overflow.WAIT)
    with pytest.raises(RuntimeError, match="out of memory"):
        failed.result(LONG_S)
    assert batcher.submit(clip(2), "a", Overflow.WAIT).result(LONG_S).probability == 2
    batcher.close(LONG_S)


def test_closing_answers_everybody_and_late_comers_too() -> None:
    backend = Brightness()
    batcher = started(backend)
    busy(backend, batcher)
    waiting = batcher.submit(clip(1), "a", Overflow.WAIT)
    assert not batcher.close(0.05)  # the model is still at it
    assert waiting.result(LONG_S) is None
    assert batcher.submit(clip(2), "a", Overflow.SUPERSEDE).result(LONG_S) is None
    backend.gate.set()
    assert batcher.close(LONG_S)


@pytest.mark.parametrize(
    ("fixed", "usual", "largest", "asked", "want"),
    [
        (None, 8, None, None, 8),
        (None, 2, None, None, 2),  # a CPU
        (None, 2, None, 6, 6),  # the user knows better
        (None, 8, 4, None, 4),  # an engine built for at most 4 would refuse 5
        (None, 8, 4, 6, 4),
        (3, 8, 3, 6, 3),  # it takes 3 and nothing else
    ],
)
def test_a_call_is_as_large_as_model_machine_and_user_allow(
    fixed: int | None, usual: int, largest: int | None, asked: int | None, want: int
) -> None:
    backend = Brightness(fixed)
    backend.usual_batch, backend.largest_batch = usual, largest
    assert batch_size(backend, asked) == want


def test_a_batch_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="max_batch >= 1, received 0"):
        batch_size(Brightness(), 0)
