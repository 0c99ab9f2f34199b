"""The speed of an engine is that of its timed calls."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.backends import Backend, TensorSpec
from export.engine import checked_engine
from export.engine.checked_engine import speed, table


def test_speed_counts_only_timed_calls(monkeypatch: pytest.MonkeyPatch):
    class Slow(Backend):
        name = "slow"
        inputs = (TensorSpec("clip", np.dtype(np.uint8), (None, 4, 8, 8, 3)),)
        outputs = ()
        calls = 0

        def _run(self, feed):
            self.calls += 1
            return {}

    backend = Slow()
    ticks = iter(np.arange(1000) * 0.5)
    monkeypatch.setattr(checked_engine, "ROUNDS", 10)
    monkeypatch.setattr(checked_engine, "perf_counter", lambda: float(next(ticks)))
    rows = speed(backend, [2])
    assert backend.calls == 30
    assert rows == [{"batch": 2, "p50_ms": 500, "p90_ms": 500, "p99_ms": 500, "clips_per_s": 4}]
    assert "batch 2" in table(rows)
