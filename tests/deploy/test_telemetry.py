"""What is counted, and what counting costs."""

from __future__ import annotations

import threading
import time

import pytest

from deploy.telemetry import BUCKETS, ELSEWHERE, KEPT, STAGES, NullTelemetry, Telemetry


def spin(seconds: float) -> None:
    """Use this thread's CPU for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_percentiles_are_of_one_source_and_in_milliseconds() -> None:
    telemetry = Telemetry()
    for hundredth in range(1, 102):  # 0.01 … 1.01 s: the middle one of 101 is the 51st
        telemetry.observe("infer", hundredth / 100, "door")
    telemetry.observe("infer", 9.0, "gate")
    assert telemetry.summary("door") == {"infer": {"p50": 510.0, "p90": 910.0, "p99": 1000.0}}
    assert telemetry.summary("gate")["infer"]["p50"] == 9000.0
    assert telemetry.summary("nobody") == {}


def test_percentiles_forget_but_counts_do_not() -> None:
    telemetry = Telemetry()
    telemetry.observe("decode", 5.0, "door")
    for _ in range(KEPT):
        telemetry.observe("decode", 0.001, "door")
    assert telemetry.summary("door")["decode"]["p99"] == 1.0
    assert sum(telemetry.totals().stages["decode", "door"].counts) == KEPT + 1


def test_percentiles_of_many_samples_are_not_computed_for_each_new_one() -> None:
    telemetry = Telemetry()
    for _ in range(1000):
        telemetry.observe("infer", 0.01, "door")
    assert telemetry.summary("door")["infer"]["p99"] == 10.0
    for _ in range(20):  # 2 %, of which p99 would tell
        telemetry.observe("infer", 1.0, "door")
    assert telemetry.summary("door")["infer"]["p99"] == 10.0
    telemetry.observe("infer", 1.0, "door")
    assert telemetry.summary("door")["infer"]["p99"] == 1000.0


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0.0, 0),
        (0.001, 0),  # a bound belongs to its own bucket, as in Prometheus
        (0.0011, 1),
        (10.0, len(BUCKETS) - 1),
        (10.1, len(BUCKETS)),  # beyond the last bound
    ],
)
def test_a_sample_falls_into_its_bucket(seconds: float, bucket: int) -> None:
    telemetry = Telemetry()
    telemetry.observe("crop", seconds)
    counts = telemetry.totals().stages["crop", ""].counts
    assert (counts.index(1), sum(counts), len(counts)) == (bucket, 1, len(BUCKETS) + 1)


def test_measure_takes_wall_and_cpu_time_of_its_thread() -> None:
    telemetry = Telemetry()
    with telemetry.measure("capture", "door"):
        time.sleep(0.05)  # waiting costs no CPU
    with telemetry.measure("infer", "door"):
        spin(0.05)
    stages = telemetry.totals().stages
    assert stages["capture", "door"].seconds >= 0.05
    assert stages["capture", "door"].cpu_seconds < 0.02
    assert 0.05 <= stages["infer", "door"].cpu_seconds < 0.1


def test_a_body_that_raises_is_no_sample() -> None:
    telemetry = Telemetry()
    with pytest.raises(KeyError), telemetry.measure("infer"):
        raise KeyError
    assert not telemetry.totals().stages


def test_cpu_shares_add_up_and_stand_in_order() -> None:
    telemetry = Telemetry()
    for source in ("door", "gate"):
        with telemetry.measure("infer", source):
            spin(0.06)
    with telemetry.measure("detect", "door"):
        spin(0.03)
    spin(0.03)
    shares = telemetry.cpu_share()
    assert list(shares) == ["detect", "infer", ELSEWHERE]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["infer"] == pytest.approx(4 * shares["detect"], rel=0.3)
    assert shares[ELSEWHERE] > 0.05


def test_counts_by_name_and_source() -> None:
    telemetry = Telemetry()
    telemetry.drop("stale", "door")
    telemetry.drop("stale", "door", 4)
    telemetry.drop("overflow")
    telemetry.failure("mqtt")
    telemetry.event("FAKE", "door")
    telemetry.depth("clips", 3)
    telemetry.depth("clips", 1)
    totals = telemetry.totals()
    assert dict(totals.dropped) == {("stale", "door"): 5, ("overflow", ""): 1}
    assert dict(totals.failures) == {"mqtt": 1}
    assert dict(totals.events) == {("FAKE", "door"): 1}
    assert dict(totals.depths) == {"clips": 1}


def test_no_count_is_lost_between_threads() -> None:
    telemetry = Telemetry()

    def work() -> None:
        for _ in range(5000):
            telemetry.observe("infer", 0.01, "door")
            telemetry.drop("stale", "door")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    totals = telemetry.totals()
    assert sum(totals.stages["infer", "door"].counts) == 20_000
    assert totals.stages["infer", "door"].seconds == pytest.approx(200.0)
    assert totals.dropped["stale", "door"] == 20_000


def test_a_sample_is_cheap() -> None:
    telemetry = Telemetry()
    best = min(_seconds_for(telemetry, 2000) for _ in range(5))
    assert best / 2000 < 5e-6


def _seconds_for(telemetry: Telemetry, count: int) -> float:
    start = time.thread_time()
    for _ in range(count):
        telemetry.observe("infer", 0.01, "door")
    return time.thread_time() - start


def test_the_null_object_has_every_method_and_keeps_nothing() -> None:
    nobody = NullTelemetry()
    for stage in STAGES:
        with nobody.measure(stage, "door"):
            pass
    nobody.drop("stale")
    nobody.depth("clips", 1)
    nobody.failure("mqtt")
    nobody.event("FAKE")
    assert nobody.summary("door") == {}
