"""Metrics, read back with the library's own parser and compared with what was fed by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from deploy.sources.base import State
from deploy.telemetry import BUCKETS

DOOR, GATE = "camera 0", "rtsp://***@gate.example/stream"


@pytest.fixture
def scrape(serve: Callable[..., Any]) -> Callable[[Any], dict[tuple[str, frozenset[Any]], float]]:
    """Returns every sample by name and labels."""
    parser = pytest.importorskip("prometheus_client.parser")

    def read(run: Any) -> dict[tuple[str, frozenset[Any]], float]:
        status, headers, body = serve(run).get("/metrics")
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=0.0.4")
        families = list(parser.text_string_to_metric_families(body.decode()))
        assert len({family.name for family in families}) == len(families)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    return read


def key(name: str, **labels: str) -> tuple[str, frozenset[Any]]:
    return f"keras_ddl_{name}", frozenset(labels.items())


def test_a_histogram_is_what_was_fed(played: Any, scrape: Callable[[Any], Any]) -> None:
    run = played()
    for seconds in (0.0005, 0.004, 0.004, 0.35, 60.0):
        run.telemetry.observe("end_to_end", seconds, DOOR, cpu_seconds=0.5)
    samples = scrape(run)
    labels = {"stage": "end_to_end", "source": DOOR}
    counts = {
        bound: samples[key("stage_seconds_bucket", le=repr(bound), **labels)] for bound in BUCKETS
    }
    assert [counts[bound] for bound in (0.001, 0.002, 0.005, 0.3, 0.5, 10.0)] == [1, 1, 3, 3, 4, 4]
    assert samples[key("stage_seconds_bucket", le="+Inf", **labels)] == 5
    assert samples[key("stage_seconds_count", **labels)] == 5
    assert samples[key("stage_seconds_sum", **labels)] == pytest.approx(60.3585)
    assert samples[key("stage_cpu_seconds_total", **labels)] == 2.5


def test_counts_and_states(played: Any, scrape: Callable[[Any], Any]) -> None:
    run = played()
    run.begin(DOOR)
    run.clip(DOOR, 1, 100.0, 0.9, "FAKE")
    run.clip(DOOR, 2, 100.0, 0.1, "REAL")
    run.verdict(DOOR, 1, "FAKE")
    run.verdict(DOOR, 1, "UNCERTAIN")
    run.verdict(DOOR, 1, "FAKE")
    run.telemetry.drop("superseded", DOOR, 3)
    run.telemetry.failure("mqtt")
    run.telemetry.depth("clips", 2)
    samples = scrape(run)
    assert samples[key("events_total", verdict="FAKE", source=DOOR)] == 2
    assert samples[key("events_total", verdict="UNCERTAIN", source=DOOR)] == 1
    assert samples[key("dropped_total", cause="superseded", source=DOOR)] == 3
    assert samples[key("sink_failures_total", sink="mqtt")] == 1
    assert samples[key("queue_length", queue="clips")] == 2
    assert samples[key("source_reconnects_total", source=GATE)] == 4
    assert samples[key("source_frames_total", source=DOOR)] == 1500
    assert samples[key("source_frames_dropped_total", source=DOOR, cause="stale")] == 7
    assert samples[key("source_fps", source=DOOR)] == 24.9
    assert samples[key("source_faces", source=DOOR, verdict="FAKE")] == 1
    assert samples[key("source_faces", source=DOOR, verdict="UNCERTAIN")] == 0
    states = {
        state: samples[key("source_state", source=GATE, state=state.value)] for state in State
    }
    assert [state for state, value in states.items() if value] == [State.RECONNECTING]
    assert any(labels >= {("model", "0123456789ab")} for name, labels in samples if "info" in name)
    assert samples["process_resident_memory_bytes", frozenset()] > 1 << 20


def test_names_with_quotes_and_line_breaks_survive(
    played: Any, scrape: Callable[[Any], Any]
) -> None:
    name = 'a "b"\\c\nd}'
    samples = scrape(played((name, GATE, "hall.mp4")))
    assert samples[key("source_frames_total", source=name)] == 1500
