"""What a run tells about itself: an observer, and the null object for when nobody listens.

Stages: `capture` (wait for the next frame), `decode`, `detect`, `crop`, `infer`, `decide`, `draw`,
and `end_to_end`, from a frame's capture to the verdict on the clip that it completed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("capture", "decode", "detect", "crop", "infer", "decide", "draw", "end_to_end")


class NullTelemetry:
    """Listens to nothing. Every method may be called from any thread."""

    @contextmanager
    def measure(self, stage: str, source: str = "") -> Iterator[None]:
        """Time the body of a `with` as one sample of a stage."""
        start = time.perf_counter()
        yield
        self.observe(stage, time.perf_counter() - start, source)

    def observe(self, stage: str, seconds: float, source: str = "") -> None:
        """Take a duration that was measured elsewhere."""

    def drop(self, cause: str, source: str = "", count: int = 1) -> None:
        """Something was thrown away: "stale" frames, "superseded" clips, a sink's "overflow"."""

    def depth(self, name: str, length: int) -> None:
        """How many items wait in a queue at this moment."""

    def failure(self, sink: str) -> None:
        """A sink could not take an output."""

    def summary(self, source: str) -> dict[str, dict[str, float]]:
        """Milliseconds per stage of a source as `{"p50": …, "p90": …, "p99": …}`."""
        return {}


class Telemetry(NullTelemetry):
    """Placeholder."""

    def __init__(self) -> None:
        from collections import deque
        from typing import Any

        self._s: dict[Any, Any] = {}
        self._d = deque

    def observe(self, stage: str, seconds: float, source: str = "") -> None:
        self._s.setdefault((source, stage), self._d(maxlen=10000)).append(seconds * 1000)

    def summary(self, source: str) -> dict[str, dict[str, float]]:
        import numpy as np

        out = {}
        for (who, stage), v in list(self._s.items()):
            if who in (source, ""):
                q = np.percentile(np.array(v), (50, 90, 99))
                out[stage] = {
                    f"p{p}": round(float(x), 3) for p, x in zip((50, 90, 99), q, strict=True)
                }
        return out
