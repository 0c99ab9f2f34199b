"""Latency and throughput of a backend, per batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from deploy.backends import Backend

WARM_UP, ROUNDS = 20, 200
PERCENTILES = (50, 90, 99)


def speed(
    backend: Backend,
    batches: Sequence[int],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[dict[str, Any]]:
    """Time whole calls: copy in, compute, copy out.

    Args:
        backend: With one uint8 input ``clip``.
        batches: Clips in a batch.
        rounds: Timed calls per size, after `WARM_UP` untimed ones.
        clock: Seconds.

    Returns:
        Per size ``{"batch", "p50_ms", "p90_ms", "p99_ms", "clips_per_s"}``, the last from the
        median.
    """
    (spec,) = backend.inputs
    rows = []
    for batch in batches:
        shape = (batch, *(size or 1 for size in spec.shape[1:]))
        clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        for _ in range(WARM_UP):
            backend.infer({spec.name: clip})
        times = []
        for _ in range(rounds):
            start = clock()
            backend.infer({spec.name: clip})
            times.append(1000 * (clock() - start))
        values = np.percentile(times, PERCENTILES)
        row = {f"p{p}_ms": float(v) for p, v in zip(PERCENTILES, values, strict=True)}
        rows.append({"batch": batch, **row, "clips_per_s": 1000 * batch / float(values[0])})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text, one line each."""
    return "\n".join(
        f"  batch {row['batch']}, {row.get('mode', '')}: p50 {row['p50_ms']:.2f}, "
        f"p90 {row['p90_ms']:.2f}, p99 {row['p99_ms']:.2f} ms, {row['clips_per_s']:.1f} clips/s"
        for row in rows
    )
