"""A live source and its troubles, on a clock that tests turn."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import pytest

from deploy.backoff import Backoff
from deploy.sources import Health, State, Watch
from deploy.sources.live.connection import Shot
from deploy.sources.live.live_source import LiveSource
from keras_ddl.edge.errors import MISSING, UserError

RNG = np.random.default_rng(0)
Step = float | str | UserError  # seconds until the next picture; what is dropped; a loss


def noise(size: tuple[int, int] = (16, 24)) -> np.ndarray:
    return RNG.integers(0, 256, (*size, 3), np.uint8)


class Clock:
    """Time passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Script:
    """A connection that gives the pictures of a list, each after some seconds."""

    fps, paced = 25.0, False

    def __init__(
        self, clock: Clock, steps: Iterable[tuple[Step, np.ndarray | None]], ends: bool = False
    ) -> None:
        self.clock, self.steps, self.ends = clock, steps, ends
        self.closed = 0

    def shots(self, drop: Callable[[str], None]) -> Iterator[Shot]:
        for step, image in self.steps:
            if isinstance(step, UserError):
                raise step
            if isinstance(step, str) or image is None:
                drop(str(step))
                continue
            self.clock.sleep(step)
            yield Shot(image)

    def close(self) -> None:
        self.closed += 1


class Attempts:
    """Connects to one script after another; a UserError among them is an attempt that fails."""

    def __init__(self, clock: Clock, *scripts: Script | UserError) -> None:
        self.clock, self.scripts = clock, list(scripts)
        self.at: list[float] = []

    def __call__(self) -> Script:
        self.at.append(self.clock.now - 1000.0)
        script = self.scripts.pop(0) if self.scripts else UserError("gone for good", MISSING)
        if isinstance(script, UserError):
            raise script
        return script


def watch(clock: Clock, **changes: object) -> Watch:
    steady = partial(Watch().backoff, uniform=lambda: 0.0)  # without jitter
    fields = {"clock": clock, "sleep": clock.sleep, "backoff": steady, "max_age_ms": 1e9, **changes}
    return Watch(**fields)  # type: ignore[arg-type]


def pictures(*waits: float) -> list[tuple[Step, np.ndarray | None]]:
    return [(wait, noise()) for wait in waits]


REFUSED = UserError("cannot open door: Connection refused", MISSING)


def test_a_first_connection_that_fails_is_an_error_where_frames_are_read() -> None:
    clock = Clock()
    source = LiveSource("door", Attempts(clock, REFUSED), watch(clock))
    assert source.health == Health(State.CONNECTING)  # making it never connects
    with pytest.raises(UserError, match="cannot open door: Connection refused") as caught:
        list(source)
    assert caught.value.exit_code == 3
    assert source.health.state is State.FAILED
    assert source.health.error == "cannot open door: Connection refused"


def test_a_connection_without_a_picture_is_a_failure_too() -> None:
    clock = Clock()
    script = Script(clock, [])
    with pytest.raises(UserError, match="door: no picture came"):
        list(LiveSource("door", Attempts(clock, script), watch(clock)))
    assert script.closed == 1


def test_a_source_that_keeps_trying_waits_longer_each_time_and_says_so_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    other = UserError("cannot open door: 401 Unauthorized", MISSING)
    ending = Script(clock, pictures(0.0, 0.04), ends=True)
    attempts = Attempts(clock, *[REFUSED] * 8, other, ending)
    source = LiveSource("door", attempts, watch(clock, keep_trying=True))
    with caplog.at_level(logging.INFO, "deploy.sources"):
        assert len(list(source)) == 2
    waits = np.diff(attempts.at)
    np.testing.assert_allclose(waits, [0.5, 1, 2, 4, 8, 16, 30, 30, 30], atol=1e-6)
    assert [record.getMessage() for record in caplog.records] == [
        "cannot open door: Connection refused; trying again",
        "cannot open door: 401 Unauthorized; trying again",
    ]
    assert source.health.state is State.ENDED
    assert source.health.reconnects == 0  # it had never been there before


def test_what_was_lost_comes_back_with_a_new_segment(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    lost = UserError("lost door: no answer in time", MISSING)
    first = Script(clock, [*pictures(0.04, 0.04), (lost, None)])
    again = Script(clock, pictures(0.04, 0.04), ends=True)
    source = LiveSource("door", Attempts(clock, first, REFUSED, again), watch(clock))
    with caplog.at_level(logging.INFO, "deploy.sources"):
        frames = list(source)
    assert [frame.segment for frame in frames] == [0, 0, 1, 1]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    # waits of 0.5 and 1 s lie between
    np.testing.assert_allclose([f.time_ms for f in frames], [40, 80, 1620, 1660], atol=1e-6)
    assert source.epoch == 1000.0
    assert [record.getMessage() for record in caplog.records] == [
        "lost door: no answer in time; trying again",
        "cannot open door: Connection refused; trying again",
        "door is back after 2 s",
    ]
    health = source.health
    assert (health.state, health.reconnects, health.frames) == (State.ENDED, 1, 4)
    assert (health.size, first.closed, again.closed) == ((24, 16), 1, 1)


def test_a_stream_that_ends_at_once_every_time_is_not_opened_in_a_hurry() -> None:
    clock = Clock()
    scripts = [Script(clock, pictures(0.0)) for _ in range(7)]
    long = Script(clock, pictures(0.0, 10.0))  # a good one: waits start over
    attempts = Attempts(clock, *scripts, long, Script(clock, pictures(0.0)))
    source = LiveSource("door", attempts, watch(clock))
    frames = iter(source)
    for _ in range(10):
        next(frames)
    source.interrupt()
    np.testing.assert_allclose(np.diff(attempts.at)[:7], [0.5, 1, 2, 4, 8, 16, 30], atol=1e-6)
    assert attempts.at[8] - attempts.at[7] == pytest.approx(10.5)
    source.close()


def test_a_frozen_picture_is_not_judged_again_and_again(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    still = noise()
    steps = [*pictures(0.5, 0.5), *[(0.5, still)] * 9, *pictures(0.5, 0.5)]
    source = LiveSource("door", Attempts(clock, Script(clock, steps, True)), watch(clock))
    with caplog.at_level(logging.INFO, "deploy.sources"):
        frames = list(source)
    # the still picture comes at 1.5 s and is given until it is 3 s old at 4.5 s
    expected = [500, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 6000, 6500]
    np.testing.assert_allclose([f.time_ms for f in frames], expected, atol=1e-6)
    assert [frame.segment for frame in frames] == [0] * 8 + [1] * 2
    assert source.health.dropped == {"frozen": 3}
    assert [record.getMessage() for record in caplog.records] == [
        "door is frozen: the same picture again and again",
        "door moves again",
    ]


def test_the_state_says_frozen_as_long_as_it_is() -> None:
    clock, still = Clock(), noise()
    seen: list[State] = []

    class Looking(Script):
        def shots(self, drop: Callable[[str], None]) -> Iterator[Shot]:
            for shot in super().shots(drop):
                seen.append(source.health.state)
                yield shot

    steps = [(1.0, still)] * 5 + pictures(1.0, 1.0)
    source = LiveSource("door", Attempts(clock, Looking(clock, steps, True)), watch(clock))
    list(source)
    run, frozen = State.RUNNING, State.FROZEN
    assert seen == [State.CONNECTING, run, run, run, frozen, frozen, run]


def test_another_size_or_rate_is_another_segment() -> None:
    clock = Clock()
    steps = [(0.04, noise()), (0.04, noise((32, 48))), (0.04, noise((32, 48)))]
    source = LiveSource("door", Attempts(clock, Script(clock, steps, True)), watch(clock))
    assert [frame.segment for frame in source] == [0, 1, 1]
    assert source.health.size == (48, 32)

    gate = threading.Semaphore(1)  # one picture for each that was read: none is too old

    def stepwise() -> Iterator[tuple[Step, np.ndarray | None]]:
        for wait in [0.04] * 75 + [0.1] * 75:
            gate.acquire(timeout=10.0)
            yield wait, noise()

    source = LiveSource("door", Attempts(clock, Script(clock, stepwise(), True)), watch(clock))
    segments = [(frame.segment, gate.release())[0] for frame in source]
    assert segments == [0] * 125 + [1] * 25


def test_what_cannot_be_used_is_counted_by_cause() -> None:
    clock = Clock()
    steps = [("corrupted", None), *pictures(0.04), ("corrupted", None), *pictures(0.0, 0.04)]
    source = LiveSource("door", Attempts(clock, Script(clock, steps, True)), watch(clock))
    assert [frame.index for frame in source] == [0, 1]  # the second had the time of the first
    assert source.health.dropped == {"corrupted": 2, "disorder": 1}
    assert source.dropped == 3


def test_it_can_be_left_while_it_connects_waits_or_reads() -> None:
    gate = threading.Event()

    def hang() -> Script:
        gate.wait(30.0)
        raise REFUSED

    source = LiveSource("door", hang)
    threading.Timer(0.1, source.interrupt).start()
    started = time.monotonic()
    assert list(source) == []
    source.close()
    assert time.monotonic() - started < 5.0  # 2 s are promised
    assert source.health.state is State.STOPPED
    gate.set()

    def refuse() -> Script:
        raise REFUSED

    source = LiveSource("door", refuse, Watch(keep_trying=True, backoff=lambda: Backoff(60, 60)))
    threading.Timer(0.1, source.interrupt).start()
    started = time.monotonic()
    assert list(source) == []
    source.close()
    assert time.monotonic() - started < 5.0


def test_a_fault_of_the_program_is_not_taken_for_a_loss() -> None:
    def broken() -> Script:
        raise ZeroDivisionError("a bug")

    source = LiveSource("door", broken, Watch(keep_trying=True))
    with pytest.raises(ZeroDivisionError):
        list(source)
    assert source.health.state is State.FAILED
