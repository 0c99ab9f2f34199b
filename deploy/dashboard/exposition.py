"""Metrics of a run in Prometheus' text format; docs/dashboard.md lists the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from deploy.control import SourceStatus
from deploy.sources.base import State
from deploy.telemetry import BUCKETS, Telemetry, Totals
from keras_ddl import __version__

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX = "keras_ddl"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(telemetry: Telemetry, sources: Sequence[SourceStatus], model_id: str = "") -> bytes:
    """All metrics of this moment, those of this process (memory, CPU, open files) included.

    A registry of its own is built for each call: nothing is shared with other users of the library.
    """
    from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
    from prometheus_client.registry import Collector

    class Run(Collector):
        def collect(self) -> Iterator[Metric]:
            yield from _about(model_id)
            yield from _totals(telemetry.totals())
            yield from _sources(sources)

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Run())
    ProcessCollector(registry=registry)
    text: bytes = generate_latest(registry)
    return text


def _about(model_id: str) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    info = GaugeMetricFamily(
        f"{PREFIX}_info", "Always 1; what runs here", labels=["version", "model"]
    )
    info.add_metric([__version__, model_id], 1)
    yield info


def _totals(totals: Totals) -> Iterator[Metric]:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )

    stages = HistogramMetricFamily(
        f"{PREFIX}_stage_seconds", "Duration of a stage", labels=["stage", "source"]
    )
    cpu = CounterMetricFamily(
        f"{PREFIX}_stage_cpu_seconds",
        "CPU time of the threads that run a stage",
        labels=["stage", "source"],
    )
    for key, one in totals.stages.items():
        bounds = [*(repr(bound) for bound in BUCKETS), "+Inf"]
        buckets = list(zip(bounds, accumulate(map(float, one.counts)), strict=True))
        stages.add_metric(key, buckets, one.seconds)
        cpu.add_metric(key, one.cpu_seconds)
    yield stages
    yield cpu
    counters = (
        ("dropped", "Thrown away by the run, by cause", ["cause", "source"], totals.dropped),
        ("events", "Changes of a verdict", ["verdict", "source"], totals.events),
    )
    for name, text, labels, counts in counters:
        family = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels)
        for pair, count in counts.items():
            family.add_metric(pair, count)
        yield family
    failures = CounterMetricFamily(
        f"{PREFIX}_sink_failures", "Outputs that a sink could not take", labels=["sink"]
    )
    for sink, count in totals.failures.items():
        failures.add_metric([sink], count)
    yield failures
    depths = GaugeMetricFamily(f"{PREFIX}_queue_length", "Items that wait", labels=["queue"])
    for queue, length in totals.depths.items():
        depths.add_metric([queue], length)
    yield depths


def _sources(sources: Sequence[SourceStatus]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    state = GaugeMetricFamily(
        f"{PREFIX}_source_state", "1 for the state a source is in", labels=["source", "state"]
    )
    frames = CounterMetricFamily(f"{PREFIX}_source_frames", "Frames read", labels=["source"])
    found = CounterMetricFamily(
        f"{PREFIX}_source_reconnects", "Times lost and found again", labels=["source"]
    )
    dropped = CounterMetricFamily(
        f"{PREFIX}_source_frames_dropped",
        "Frames that a source threw away, by cause",
        labels=["source", "cause"],
    )
    fps = GaugeMetricFamily(f"{PREFIX}_source_fps", "Frames per second lately", labels=["source"])
    faces = GaugeMetricFamily(
        f"{PREFIX}_source_faces", "Faces in sight, by verdict", labels=["source", "verdict"]
    )
    for source in sources:
        for one in State:
            state.add_metric([source.name, one.value], float(one is source.health.state))
        frames.add_metric([source.name], source.health.frames)
        found.add_metric([source.name], source.health.reconnects)
        for cause, count in source.health.dropped.items():
            dropped.add_metric([source.name, cause], count)
        fps.add_metric([source.name], source.fps)
        labels = [face.label for face in source.faces]
        for label in ("REAL", "UNCERTAIN", "FAKE"):
            faces.add_metric([source.name, label], labels.count(label))
    yield from (state, frames, found, dropped, fps, faces)
