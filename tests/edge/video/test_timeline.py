"""Timeline: what clocks do, and the times that come of it."""

from __future__ import annotations

import pytest

from keras_ddl.edge.video.timeline import Timeline


def placed(clocks: list[float | None], **how: object) -> list[tuple[float, int] | None]:
    timeline = Timeline(40.0, **how)
    moments = [timeline.moment(clock) for clock in clocks]
    return [None if m is None else (m.time_ms, m.segment) for m in moments]


def test_a_steady_clock_is_taken_as_it_is() -> None:
    assert placed([5000, 5040, 5100]) == [(0, 0), (40, 0), (100, 0)]
    assert placed([5080, 5120], start_ms=5000) == [(80, 0), (120, 0)]


def test_a_clock_set_back_begins_a_segment_and_time_goes_on() -> None:
    assert placed([0, 40, 2000, 0, 40]) == [(0, 0), (40, 0), (2000, 0), (2040, 1), (2080, 1)]


def test_a_frame_out_of_order_has_no_place() -> None:
    assert placed([0, 80, 40, 80, 120]) == [(0, 0), (80, 0), None, None, (120, 0)]


def test_only_a_transport_streams_clock_jumps_ahead() -> None:
    day = 26 * 3_600_000.0
    assert placed([0, 40, 30_040], transport=True)[2] == (80, 1)
    assert placed([0, 40, 30_040])[2] == (30_040, 0)  # a long still in a recording of a screen
    assert placed([0, 40, day, day + 40]) == [(0, 0), (40, 0), (80, 1), (120, 1)]


def test_frames_without_a_clock_follow_at_the_mean_rate() -> None:
    assert placed([None, None, 120]) == [(0, 0), (40, 0), (120, 0)]


def test_a_start_that_is_far_from_the_first_frame_is_not_believed() -> None:
    assert placed([90_000_000.0], start_ms=0.0, transport=True) == [(0, 0)]
    assert placed([0.0], start_ms=500.0) == [(0, 0)]


@pytest.mark.parametrize("clocks", [[0, 40, 5, 3000, 10, -4000, None, 70_000_000, 3]])
def test_times_only_grow(clocks: list[float | None]) -> None:
    times = [m[0] for m in placed(clocks, transport=True) if m]
    assert times == sorted(set(times))
