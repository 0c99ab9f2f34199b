"""What the soak measures, on samples that a person can check, and once for some seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.streams.soak import growth, problems, summary
from benchmarks.streams.synthetic_run import Sample, SyntheticRun, watch_synthetic

MIB = 1 << 20


def samples(rise_per_hour: float, minutes: int = 30, warm_up: float = 300.0) -> list[Sample]:
    """One a minute: memory settles within the first quarter, then rises by MiB per hour."""
    rows = []
    for minute in range(minutes + 1):
        seconds = minute * 60.0
        memory = 200.0 + rise_per_hour * seconds / 3600.0 - (warm_up if minute < 7 else 0.0)
        rows.append(Sample(seconds, round(memory * MIB), 9, 20))
    return rows


def good(**changes: object) -> SyntheticRun:
    fields = {"seconds": 1800.0, "samples": samples(0.0), "written": 10, "made": 10, "clips": 5}
    return SyntheticRun(**{**fields, **changes})


def test_growth_is_the_slope_after_the_warm_up() -> None:
    flat, rising = growth(samples(0.0), 1800.0), growth(samples(60.0), 1800.0)
    assert (flat.slope, flat.rise) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert flat.start == pytest.approx(200.0)
    assert rising.slope == pytest.approx(60.0)
    assert rising.rise == pytest.approx(60.0 * 22 / 60)  # from minute 8 to minute 30
    assert growth([], 1800.0).slope == 0.0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, []),
        ({"samples": samples(60.0)}, ["memory rose by 22 MiB (+60 MiB per hour)"]),
        ({"samples": samples(-60.0)}, []),
        (
            {"samples": [*samples(0.0), Sample(1800.0, 200 * MIB, 10, 21)]},
            ["threads grew from 9 to 10", "files grew from 20 to 21"],
        ),
        ({"written": 8}, ["2 of 10 records were not written"]),
        ({"gaps": 3}, ["3 verdicts are missing"]),
        ({"clips": 0}, ["no clip was judged"]),
    ],
)
def test_what_would_not_go_on_for_days_is_named(
    changes: dict[str, object], words: list[str]
) -> None:
    assert problems(good(**changes)) == words


def test_how_much_memory_may_rise_is_an_argument() -> None:
    assert problems(good(samples=samples(60.0)), 64.0) == []


@pytest.mark.slow
def test_two_cameras_for_some_seconds_lose_nothing(filmed_bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    pytest.importorskip("onnxruntime")
    from deploy.bundle import open_bundle

    bundle, backend = open_bundle(filmed_bundle, 1)
    addresses = [f"synthetic://?size=320x240&seed={seed}" for seed in (1, 2)]
    with backend:
        run = watch_synthetic(bundle, backend, 8.0, tmp_path / "out.jsonl", addresses)
    assert run.clips > 0
    assert run.events > 0  # each face comes to a verdict
    lasting = [line for line in problems(run) if not line.startswith("memory")]
    assert lasting == []  # how memory goes on is not told by eight seconds
    assert run.delay(50) > 0.0
    assert {"detect", "infer", "crop"} <= set(run.stages)
    assert "clips" in summary(run)
