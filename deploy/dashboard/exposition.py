"""Metrics of a run in Prometheus' text format; docs/dashboard.md lists the metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from deploy.control import SourceStatus
from deploy.sources.base import State
from deploy.telemetry import BUCKETS, Telemetry, Totals
from keras_ddl import __version__

if TYPE_CHECKING:
    from prometheus_client.core import Metric

PREFIX = "keras_ddl"
Values = Mapping[Any, float]  # by the value of the label, or a tuple of several
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
    labels = ["version", "model"]
    yield _gauge("info", "Always 1; what runs here", labels, {(__version__, model_id): 1})


def _totals(totals: Totals) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    labels = ["stage", "source"]
    stages = HistogramMetricFamily(f"{PREFIX}_stage_seconds", "Duration of a stage", labels=labels)
    for key, one in totals.stages.items():
        bounds = [*(repr(bound) for bound in BUCKETS), "+Inf"]
        buckets = list(zip(bounds, accumulate(map(float, one.counts)), strict=True))
        stages.add_metric(key, buckets, one.seconds)
    yield stages
    cpu = {key: one.cpu_seconds for key, one in totals.stages.items()}
    yield _counter("stage_cpu_seconds", "CPU time of the threads that run a stage", labels, cpu)
    causes = ["cause", "source"]
    yield _counter("dropped", "Thrown away by the run, by cause", causes, totals.dropped)
    yield _counter("events", "Changes of a verdict", ["verdict", "source"], totals.events)
    failures = "Outputs that a sink could not take"
    yield _counter("sink_failures", failures, ["sink"], totals.failures)
    yield _gauge("queue_length", "Items that wait", ["queue"], totals.depths)


def _sources(sources: Sequence[SourceStatus]) -> Iterator[Metric]:
    named = {source.name: source for source in sources}
    health = {name: source.health for name, source in named.items()}
    states = {(name, one.value): one is health[name].state for name in named for one in State}
    yield _gauge("source_state", "1 for the state a source is in", ["source", "state"], states)
    frames = {name: one.frames for name, one in health.items()}
    yield _counter("source_frames", "Frames read", ["source"], frames)
    found = {name: one.reconnects for name, one in health.items()}
    yield _counter("source_reconnects", "Times lost and found again", ["source"], found)
    dropped = {
        (name, cause): count for name in named for cause, count in health[name].dropped.items()
    }
    text = "Frames that a source threw away, by cause"
    yield _counter("source_frames_dropped", text, ["source", "cause"], dropped)
    fps = {name: source.fps for name, source in named.items()}
    yield _gauge("source_fps", "Frames per second lately", ["source"], fps)
    faces = {
        (name, label): [face.verdict for face in source.faces].count(label)
        for name, source in named.items()
        for label in ("REAL", "UNCERTAIN", "FAKE")
    }
    yield _gauge("source_faces", "Faces in sight, by verdict", ["source", "verdict"], faces)


def _gauge(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    from prometheus_client.core import GaugeMetricFamily

    return _filled(GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=labels), values)


def _counter(name: str, text: str, labels: Sequence[str], values: Values) -> Metric:
    from prometheus_client.core import CounterMetricFamily

    return _filled(CounterMetricFamily(f"{PREFIX}_{name}", text, labels=labels), values)


def _filled(family: Any, values: Values) -> Metric:
    for key, value in values.items():
        family.add_metric([key] if isinstance(key, str) else key, float(value))
    return cast("Metric", family)
