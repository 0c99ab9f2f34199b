"""Telemetry of a run: an observer of durations, drops and queues, and its null object.

Stages: `capture` (wait for the next frame), `decode`, `detect`, `crop`, `infer`, `decide`, `draw`,
and `end_to_end`, from a frame's capture to the verdict on the clip that it completed.

Nothing here needs a package beyond NumPy; `deploy/dashboard/exposition.py` writes it all down in
Prometheus' text format.
"""

from __future__ import annotations

import time
from array import array
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Lock
from types import TracebackType

import numpy as np

STAGES = ("capture", "decode", "detect", "crop", "infer", "decide", "draw", "end_to_end")
# Upper bounds of the histograms in seconds, denser around what is promised (0.7 s to a verdict).
BUCKETS = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.035,
    0.05,
    0.075,
    0.1,
    0.15,
    0.2,
    0.3,
    0.5,
    0.7,
    1.0,
    2.0,
    5.0,
    10.0,
)
# Newest samples per stage and source that percentiles are taken over. Their memory is taken at the
# first one: a stage of two samples a second would otherwise grow for half an hour.
KEPT = 1024
PERCENTILES = (50, 90, 99)
STALE_SHARE = 0.02  # percentiles are computed again when more than this part of the samples is new
ELSEWHERE = "elsewhere"  # CPU time outside every stage: thread pools of libraries, sinks, servers

Summary = dict[str, dict[str, float]]


class _Measure(AbstractContextManager[None]):
    """One sample in the making, by the clock and by this thread's CPU time."""

    __slots__ = ("_cpu_start", "_source", "_stage", "_start", "_telemetry")

    def __init__(self, telemetry: NullTelemetry, stage: str, source: str) -> None:
        self._telemetry = telemetry
        self._stage = stage
        self._source = source

    def __enter__(self) -> None:
        self._start, self._cpu_start = time.perf_counter(), time.thread_time()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            cpu = time.thread_time() - self._cpu_start
            seconds = time.perf_counter() - self._start
            self._telemetry.observe(self._stage, seconds, self._source, cpu)


class NullTelemetry:
    """The observer that listens to nothing. Every method may be called from any thread."""

    def measure(self, stage: str, source: str = "") -> AbstractContextManager[None]:
        """Time the body of a `with` as one sample of a stage; a body that raises is none."""
        return _Measure(self, stage, source)

    def observe(
        self, stage: str, seconds: float, source: str = "", cpu_seconds: float = 0.0
    ) -> None:
        """Take a duration that was measured elsewhere, and its thread's CPU time where known."""

    def drop(self, cause: str, source: str = "", count: int = 1) -> None:
        """Something was thrown away: "stale" frames, "superseded" clips, a sink's "overflow"."""

    def depth(self, name: str, length: int) -> None:
        """How many items wait in a queue at this moment."""

    def failure(self, sink: str) -> None:
        """A sink could not take an output."""

    def event(self, verdict: str, source: str = "") -> None:
        """A verdict changed to this label."""

    def summary(self, source: str) -> Summary:
        """Milliseconds per stage of a source as `{"p50": …, "p90": …, "p99": …}`."""
        return {}


@dataclass(frozen=True)
class StageCounts:
    """All samples of one stage of one source.

    Attributes:
        counts: Samples per bucket, not cumulative: up to each of `BUCKETS`, then the larger ones.
        seconds: Their sum.
        cpu_seconds: CPU time of the measuring threads in it; 0 for what was measured elsewhere.
    """

    counts: tuple[int, ...]
    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Totals:
    """Everything counted since the start. Keys of pairs: (stage, source), (cause, source), …"""

    stages: Mapping[tuple[str, str], StageCounts]
    dropped: Mapping[tuple[str, str], int]
    events: Mapping[tuple[str, str], int]
    failures: Mapping[str, int]
    depths: Mapping[str, int]


@dataclass
class _Samples:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    ring: array[float] = field(default_factory=lambda: array("d", bytes(8 * KEPT)))  # ms
    taken: int = 0
    unseen: int = 0  # samples since `percentiles` was computed
    percentiles: dict[str, float] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """How many of the newest samples are there."""
        return min(self.taken, KEPT)


class Telemetry(NullTelemetry):
    """Counts of everything and the newest durations; a sample costs one to three microseconds.

    Stages must not enclose one another, or the inner one's CPU time counts twice.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._stages: defaultdict[tuple[str, str], _Samples] = defaultdict(_Samples)
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._events: Counter[tuple[str, str]] = Counter()
        self._failures: Counter[str] = Counter()
        self._depths: dict[str, int] = {}
        self._cpu_start = time.process_time()

    def observe(
        self, stage: str, seconds: float, source: str = "", cpu_seconds: float = 0.0
    ) -> None:
        index = bisect_left(BUCKETS, seconds)
        with self._lock:
            samples = self._stages[stage, source]
            samples.counts[index] += 1
            samples.seconds += seconds
            samples.cpu_seconds += cpu_seconds
            samples.ring[samples.taken % KEPT] = seconds * 1000.0
            samples.taken += 1
            samples.unseen += 1

    def drop(self, cause: str, source: str = "", count: int = 1) -> None:
        with self._lock:
            self._dropped[cause, source] += count

    def depth(self, name: str, length: int) -> None:
        self._depths[name] = length

    def failure(self, sink: str) -> None:
        with self._lock:
            self._failures[sink] += 1

    def event(self, verdict: str, source: str = "") -> None:
        with self._lock:
            self._events[verdict, source] += 1

    def summary(self, source: str) -> Summary:
        """Milliseconds per stage over the newest samples; stages without one are left out.

        Cheap enough to be asked several times a second: of many samples, the last 2 % may be
        missing.
        """
        with self._lock:
            mine = [(stage, one) for (stage, owner), one in self._stages.items() if owner == source]
            stale = {
                stage: list(one.ring[: one.kept])
                for stage, one in mine
                if one.unseen > STALE_SHARE * one.kept
            }
            for stage, one in mine:
                one.unseen = 0 if stage in stale else one.unseen
        fresh = {stage: percentiles(values) for stage, values in stale.items()}
        with self._lock:
            for stage, one in mine:
                one.percentiles = fresh.get(stage, one.percentiles)
            return {stage: dict(one.percentiles) for stage, one in mine if one.percentiles}

    def cpu_share(self) -> dict[str, float]:
        """Each stage's part of this process' CPU time since the start, all sources together.

        The parts add up to 1: the last one, "elsewhere", is what no stage measured.
        """
        used = max(time.process_time() - self._cpu_start, 1e-9)
        shares: dict[str, float] = {}
        with self._lock:
            for (stage, _), samples in self._stages.items():
                shares[stage] = shares.get(stage, 0.0) + samples.cpu_seconds / used
        shares = {stage: shares[stage] for stage in sorted(shares, key=stage_rank) if shares[stage]}
        return {**shares, ELSEWHERE: max(0.0, 1.0 - sum(shares.values()))}

    def totals(self) -> Totals:
        """A copy of all counts, taken at one moment."""
        with self._lock:
            stages = {
                key: StageCounts(tuple(one.counts), one.seconds, one.cpu_seconds)
                for key, one in sorted(self._stages.items())
            }
            dropped, events = dict(self._dropped), dict(self._events)
            failures, depths = dict(self._failures), dict(self._depths)
            return Totals(stages, dropped, events, failures, depths)


def percentiles(values_ms: list[float]) -> dict[str, float]:
    """`{"p50": …, "p90": …, "p99": …}` of one or more numbers, rounded to microseconds."""
    values = np.percentile(np.array(values_ms), PERCENTILES)
    pairs = zip(PERCENTILES, values, strict=True)
    return {f"p{percent}": round(float(value), 3) for percent, value in pairs}


def stage_rank(stage: str) -> tuple[int, str]:
    """Sort key: the known stages in their order, others behind them by name."""
    return (STAGES.index(stage) if stage in STAGES else len(STAGES)), stage
