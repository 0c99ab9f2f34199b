"""Waits before the next attempt, with chance taken out."""

from __future__ import annotations

import pytest

from deploy.backoff import Backoff


def test_waits_double_up_to_the_cap_and_start_over() -> None:
    backoff = Backoff(1.0, 5.0, uniform=lambda: 0.0)
    assert [backoff.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_jitter_takes_up_to_a_half() -> None:
    shares = iter([0.0, 0.5, 1.0])
    backoff = Backoff(4.0, 4.0, uniform=lambda: next(shares))
    assert [backoff.next_s() for _ in range(3)] == [4.0, 3.0, 2.0]


def test_jitter_tells_devices_apart() -> None:
    waits = [Backoff(8.0, 8.0).next_s() for _ in range(20)]
    assert len(set(waits)) > 10 and all(4.0 < wait <= 8.0 for wait in waits)


@pytest.mark.parametrize(("first", "cap"), [(0.0, 1.0), (2.0, 1.0), (-1.0, 1.0)])
def test_waits_that_make_no_sense(first: float, cap: float) -> None:
    with pytest.raises(ValueError, match="first_s"):
        Backoff(first, cap)
