"""Rule of the run beyond capacity, on tenths made up by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

pytest.importorskip("onnxruntime")

from benchmarks.streams.overload import Tenth, grown, lost, table, tenths_of
from benchmarks.streams.synthetic_run import Sample, SyntheticRun

MIB = 1 << 20


def minutes(*p95: float, dropped: int = 50) -> list[Tenth]:
    return [
        Tenth(60.0 * number, 100, {"superseded": dropped} if dropped else {}, 0.5, delay, 300.0)
        for number, delay in enumerate(p95, 1)
    ]


STEADY = (3.0, 1.0, 1.1, 1.2, 1.0, 9.0, 1.0, 1.6, 1.1, 1.2)  # the start and a busy minute count not


@pytest.mark.parametrize(
    ("tenths", "words"),
    [
        (minutes(*STEADY), []),
        (minutes(*STEADY[:7], 1.6, 1.65, 1.7), []),  # 1.65 is 1.5 times 1.1
        (
            minutes(*STEADY[:7], 1.6, 1.7, 1.8),
            ["capture to verdict grew: p95 1.10 s at first, 1.70 s at last"],
        ),
        (
            minutes(*STEADY, dropped=0),
            ["nothing was dropped: the load is not beyond this machine"],
        ),
        (
            [*minutes(*STEADY[:9]), replace(minutes(float("nan"))[0], clips=0)],
            ["no clip was judged in tenth 10"],
        ),
    ],
)
def test_delays_that_grow_and_nothing_dropped_are_told(
    tenths: list[Tenth], words: list[str]
) -> None:
    assert grown(tenths) == words


def test_a_run_is_cut_into_tenths() -> None:
    run = SyntheticRun(
        seconds=100.0,
        delays=[(t + 0.5, 0.2 if t < 50 else 0.4) for t in range(100)],
        samples=[
            Sample(t, (200 + round(t)) * MIB, 9, 20, Counter(stale=round(t), superseded=7))
            for t in (5.0, 10.0, 15.0, 55.0, 95.0)
        ],
    )
    tenths = tenths_of(run)
    assert [one.clips for one in tenths] == [10] * 10
    assert [one.p95 for one in tenths] == pytest.approx([0.2] * 5 + [0.4] * 5)
    assert tenths[0].dropped == {"stale": 10, "superseded": 7}
    assert tenths[1].dropped == {"stale": 5}
    assert tenths[2].dropped == {}
    assert tenths[9].dropped == {"stale": 40}
    assert (tenths[0].memory_mib, tenths[9].memory_mib) == (210.0, 295.0)
    assert table(tenths).splitlines()[1].split() == "0.2 10 10 7 0.20 0.20 210".split()


def test_the_larger_share_that_was_dropped_counts() -> None:
    run = SyntheticRun(dropped=Counter(superseded=30, stale=10), clips=70, frames=90)
    assert lost(run) == pytest.approx(0.3)
    run.dropped["stale"] = 90
    assert lost(run) == pytest.approx(0.5)
    assert lost(SyntheticRun()) == 0.0
