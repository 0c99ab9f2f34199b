"""The bench's arithmetic on a run made up by hand."""

from __future__ import annotations

import pytest

from benchmarks.streams.stream import numbers, table
from benchmarks.streams.synthetic_run import SyntheticRun

RUN = SyntheticRun(
    seconds=100.0,
    frames=2490,
    dropped={"stale": 10},
    delays=[(t + 0.5, 0.3 if t < 75 else 0.4) for t in range(100)],
    clips=100,
    cpu=90.0,
    stages={"infer": 60.0, "detect": 20.0, "crop": 4.0, "capture": 0.0},
)


def test_shares_are_of_one_core_and_overhead_is_what_is_neither_detection_nor_inference() -> None:
    found = numbers(RUN)
    assert found["cpu"] == pytest.approx(0.9)
    assert found["cpu_of_stage"] == pytest.approx({"infer": 0.6, "detect": 0.2, "crop": 0.04})
    assert found["overhead"] == pytest.approx(0.1)
    assert (found["frames"], found["expected_frames"]) == (2490, 2500)


def test_delays_of_the_first_and_the_last_quarter_are_told_apart() -> None:
    found = numbers(RUN)
    assert (found["delay_p95_first"], found["delay_p95_last"]) == pytest.approx((0.3, 0.4))
    assert found["delay_p50"] == pytest.approx(0.3)


def test_the_table_says_it_all() -> None:
    text = table(RUN)
    for words in ("2490 frames of 2500, dropped: stale 10", "CPU of one core: 90%, overhead 10%"):
        assert words in text
    assert "elsewhere    6.0%" in text
