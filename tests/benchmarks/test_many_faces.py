"""Many faces: how they are shared among sources, and what a run is told as."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("onnxruntime")

from benchmarks.streams.many_faces import HEAD, line, numbers, sources_of
from benchmarks.streams.synthetic_run import SyntheticRun


@pytest.mark.parametrize(("faces", "shares"), [(1, [1]), (4, [1] * 4), (10, [3, 3, 2, 2])])
def test_faces_are_shared_evenly_among_at_most_four_sources(faces: int, shares: list[int]) -> None:
    found = [address.partition("faces=")[2].partition("&")[0] for address in sources_of(faces)]
    assert [int(share) for share in found] == shares
    assert len(set(sources_of(faces))) == len(shares)  # other people in each


def test_a_run_is_told_per_face_without_what_looking_costs() -> None:
    run = SyntheticRun(
        seconds=10.0,
        dropped=Counter({"superseded": 2, "stale": 3}),
        delays=[(1.0, 0.2), (2.0, 0.4)],
        cpu=15.0,
        stages={"decode": 4.0, "detect": 3.0, "infer": 6.0, "crop": 2.0},
        clips=40,
    )
    row = {"bundle": "edge", "faces": 4, **numbers(run, 4)}
    assert (row["superseded"], row["dropped_frames"], row["cpu"]) == (2, 3, 1.5)
    assert row["rest_per_face"] == pytest.approx((15.0 - 3.0) / 10.0 / 4)
    assert line(row).split() == "edge 4 4 40 2 3 0.30 0.39 150% 30% 30.0%".split()
    assert len(line(row)) == len(HEAD)
