"""How long each stage takes: an observer, and the null object for when nobody asks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.telemetry import percentiles

KEPT = 10_000  # newest samples per stage that percentiles are taken over


class NullTimes:
    """Measures nothing."""

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` as one sample of `stage`."""
        yield

    def summary(self) -> dict[str, dict[str, float]]:
        """Milliseconds per stage as `{"p50": …, "p90": …, "p99": …}`."""
        return {}


class StageTimes(NullTimes):
    """Measures wall time and keeps the newest samples of every stage."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[float]] = {}

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time the body of a `with` as one sample of `stage`."""
        start = time.perf_counter()
        yield
        elapsed_ms = (time.perf_counter() - start) * 1000.0
        self._samples.setdefault(stage, deque(maxlen=KEPT)).append(elapsed_ms)

    def summary(self) -> dict[str, dict[str, float]]:
        """Milliseconds per stage as `{"p50": …, "p90": …, "p99": …}`."""
        return {stage: percentiles(list(samples)) for stage, samples in self._samples.items()}
