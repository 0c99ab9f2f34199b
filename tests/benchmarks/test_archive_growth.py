"""The formula of docs/cluster.md against a simulation of the same cluster, and by hand."""

from __future__ import annotations

import pytest

from benchmarks.archives.archive_growth import Stages

PLAIN = {"listing_s": 0.0, "results_s": 0.0, "bytes": 1e6, "storage_bytes_s": 1e12}


def test_without_losses_workers_share_the_videos() -> None:
    stages = Stages(**PLAIN, judge_s=[2.0])
    assert stages.bounds(10)["workers"] == 5.0
    assert stages.simulated(10, 1000) == pytest.approx(5.0)  # a hundred each, two seconds each


@pytest.mark.parametrize(
    ("change", "bound", "rate"),
    [
        ({"storage_bytes_s": 2e6}, "storage", 2.0),  # a megabyte each
        ({"results_s": 0.3, "listing_s": 0.2}, "listing and results", 2.0),
    ],
)
def test_the_bound_that_is_least_holds_it_up(
    change: dict[str, float], bound: str, rate: float
) -> None:
    stages = Stages(**{**PLAIN, **change}, judge_s=[2.0])
    bounds = stages.bounds(10)
    assert min(bounds, key=bounds.__getitem__) == bound and bounds[bound] == pytest.approx(rate)
    assert stages.simulated(10, 1000) == pytest.approx(rate, rel=0.02)


def test_losses_cost_what_the_formula_says() -> None:
    stages = Stages(**PLAIN, judge_s=[10.0, 20.0, 30.0], losses_per_hour=12.0, restart_s=30.0)
    # Each worker is lost every 300 s, redoes 10 s and is away for 30: 13 % of its time.
    assert stages.bounds(50)["workers"] == pytest.approx(50 * (1 - 40 / 300) / 20)
    assert stages.simulated(50, 20_000) == pytest.approx(stages.bounds(50)["workers"], rel=0.03)
