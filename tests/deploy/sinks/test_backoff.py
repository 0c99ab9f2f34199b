"""Waiting before the next attempt, with chance taken out."""

from __future__ import annotations

import pytest

from deploy.sinks.backoff import Backoff
from deploy.sinks.safe_names import SafeNames


def test_delays_double_up_to_the_cap() -> None:
    backoff = Backoff(1.0, 5.0, uniform=lambda: 0.0)
    assert [backoff.next() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next() == 1.0


def test_jitter_takes_up_to_a_half() -> None:
    shares = iter([0.0, 0.5, 1.0])
    backoff = Backoff(4.0, 4.0, uniform=lambda: next(shares))
    assert [backoff.next() for _ in range(3)] == [4.0, 3.0, 2.0]


@pytest.mark.parametrize(("first", "cap"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_delays_that_make_no_sense(first: float, cap: float) -> None:
    with pytest.raises(ValueError, match="first_s"):
        Backoff(first, cap)


def test_names_are_safe_and_stay_apart() -> None:
    names = SafeNames()
    assert names.of("rtsp://***@door:554/1") == "rtsp-door-554-1"
    assert names.of("rtsp://***@door:554?1") == "rtsp-door-554-1-2"
    assert names.of("rtsp://***@door:554/1") == "rtsp-door-554-1"
    assert names.of("../../etc/passwd") == "etc-passwd"
    assert names.of("#/+") == "source"
    assert names.of("camera 0") == "camera-0"
    assert len(names.of("x" * 500)) == 64
