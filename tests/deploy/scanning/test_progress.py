"""The bar of a scan: what it says of the whole archive."""

from __future__ import annotations

from collections import Counter

from deploy.scanning.progress import Bar


def test_it_says_what_is_done_and_failed_how_fast_and_by_whom() -> None:
    nodes = Counter({"node b": 1, "node a": 2})
    bar = Bar(300, 10, nodes)
    for index, (failed, seconds) in enumerate([(False, 1800.0), (True, 0.0), (False, 1800.0)]):
        bar.begin(index, 100)
        bar.share(index, 0.5)
        bar.done(index, failed, seconds)
    told = bar.told(elapsed_s=360.0)
    assert told == (
        "3 of 10 files, 1 failed, 30 files and 10.0 h of video an hour, node a 2, node b 1"
    )
    bar.close()


def test_without_failures_and_nodes_it_says_less() -> None:
    bar = Bar(100, 1, {})
    bar.begin(0, 100)
    bar.done(0, False, 3600.0)
    assert bar.told(elapsed_s=3600.0) == "1 of 1 files, 1 files and 1.0 h of video an hour"
    bar.share(0, 1.0)  # what a worker tells late is let go
    bar.close()
