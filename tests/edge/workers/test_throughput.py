"""What a bar says of an archive: counts, speed, and who did it."""

from __future__ import annotations

from collections import Counter

from keras_ddl.edge.workers.throughput import Throughput


def test_it_says_what_is_done_and_failed_how_fast_and_by_whom() -> None:
    throughput = Throughput(10, Counter({"node b": 1, "node a": 2}))
    for failed, seconds in [(False, 1800.0), (True, 0.0), (False, 1800.0)]:
        throughput.add(failed, seconds)
    assert throughput.told(elapsed_s=360.0) == (
        "3 of 10 files, 1 failed, 30 files and 10.0 h of video an hour, node a 2, node b 1"
    )


def test_without_failures_and_nodes_it_says_less() -> None:
    throughput = Throughput(1, {}, "videos")
    throughput.add(False, 3600.0)
    told = throughput.told(elapsed_s=3600.0)
    assert told == "1 of 1 videos, 1 videos and 1.0 h of video an hour"
