"""The judgements of a live source: what is frozen, another rate, what time."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.sources.live.watches import FreezeWatch, LiveClock, RateWatch


def test_the_same_picture_for_three_seconds_is_frozen() -> None:
    watch = FreezeWatch(3.0)
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    assert [watch.push(image, t) for t in (0.0, 1.0, 2.9, 3.0, 9.0)] == [False] * 3 + [True] * 2
    assert not watch.push(255 - image, 9.1)  # it moves
    assert not watch.push(image, 9.2)
    assert watch.push(image, 12.2)


def test_noise_of_a_single_grey_level_is_no_freeze_and_a_running_clock_is_no_life() -> None:
    rng = np.random.default_rng(1)
    wall = np.full((480, 640, 3), 128, np.uint8)
    noisy, clocked = FreezeWatch(1.0), FreezeWatch(1.0)
    for second in range(5):
        assert not noisy.push(wall + rng.integers(0, 2, wall.shape, np.uint8), float(second))
        picture = wall.copy()
        picture[8:24, 8:16] = 10 * second  # one digit, 8 by 16 pixels
        assert clocked.push(picture, float(second)) == (second >= 1)


def test_freezes_can_be_let_alone_and_another_size_is_another_picture() -> None:
    image = np.zeros((48, 64, 3), np.uint8)
    never = FreezeWatch(0.0)
    assert not any(never.push(image, t) for t in (0.0, 100.0))
    watch = FreezeWatch(1.0)
    watch.push(image, 0.0)
    assert not watch.push(np.zeros((24, 32, 3), np.uint8), 1.0)


def periods(*spans: tuple[int, float]) -> list[float]:
    """Times of frames in ms, given (count, period) pairs."""
    times = [0.0]
    for count, period in spans:
        times += [times[-1] + period * (i + 1) for i in range(count)]
    return times


@pytest.mark.parametrize(
    ("spans", "changes"),
    [
        (((500, 40.0),), []),  # steady
        (((100, 40.0), (100, 100.0)), [150]),  # two windows of 25 later
        (((100, 40.0), (100, 20.0)), [150]),
        (((100, 40.0), (25, 100.0), (100, 40.0)), []),  # a second of trouble
        (((100, 40.0), (1, 5000.0), (100, 40.0)), []),  # a gap
        (((25, 1.0), (200, 40.0)), []),  # opens with a burst
        (((100, 40.0), (200, 59.0)), []),  # less than one and a half
        (((100, 40.0), (100, 100.0), (100, 40.0)), [150, 250]),  # and back
    ],
)
def test_a_lasting_change_of_rate(spans: tuple[tuple[int, float], ...], changes: list[int]) -> None:
    watch = RateWatch()
    assert [i for i, time in enumerate(periods(*spans)) if watch.push(time)] == changes


def test_times_follow_the_stamps_not_the_bursts() -> None:
    clock = LiveClock()
    # stamps every 40 ms from 7000, arriving at 10.000, then late by 30 ms, 0, 200 and 160 ms
    arrivals = [10.0, 10.07, 10.08, 10.32, 10.32]
    times = [clock.place(7000.0 + 40 * i, at) for i, at in enumerate(arrivals)]
    np.testing.assert_allclose(times, [10.0, 10.04, 10.08, 10.12, 10.16], atol=1e-9)


def test_no_picture_is_placed_after_its_arrival_and_none_far_before() -> None:
    clock = LiveClock()
    assert clock.place(0.0, 5.0) == 5.0
    assert clock.place(1000.0, 5.2) == 5.2  # the first one had been held up
    assert clock.place(1040.0, 5.3) == pytest.approx(5.24)
    assert clock.place(1080.0, 9.0) == 9.0  # 3.7 s late: a new reckoning
    assert clock.place(-50_000.0, 9.04) == 9.04  # the stream's clock was set back
    assert clock.place(None, 9.5) == 9.5


def test_paced_pictures_are_due_in_the_future() -> None:
    clock = LiveClock(paced=True)
    times = [clock.place(40.0 * i, 3.0) for i in range(4)]  # a whole segment at once
    np.testing.assert_allclose(times, [3.0, 3.04, 3.08, 3.12], atol=1e-9)
    assert clock.place(60_000.0, 3.2) == pytest.approx(
        3.2
    )  # a jump of a minute is none to wait for
