"""Calibration: the range of every quantiser, from clips that pass through the network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras
from keras_ddl.quantization.quantise import quant_points, set_active

METHODS = ("average", "percentile", "entropy")
PERCENTILE = 99.99
BINS, LEVELS = 2048, 128


def calibrate(
    model: keras.Model, batches: Iterable[np.ndarray], method: str = "average"
) -> dict[str, float]:
    """Set the range of every quantiser of a network.

    Args:
        model: Of `quantise.quantised`. It computes in floating point meanwhile, so that no range
            depends on another.
        batches: uint8 (B, T, S, S, 3).
        method: `average` of the batches' largest magnitudes; `percentile`, 99.99 % of all
            magnitudes; `entropy`, the range whose 128 levels lose the least information about the
            distribution of magnitudes (Migacz 2017).

    Returns:
        Largest magnitude by quantiser.

    Raises:
        UserError: On an unknown method, or no batch.
    """
    if method not in METHODS:
        raise UserError(f"calibration: expected {', '.join(METHODS)}; received {method!r}")
    points = quant_points(model)
    seen = {name: Magnitudes() for name in points}
    set_active(model, False)
    try:
        for name, point in points.items():
            point.observer = seen[name].add
        count = sum(1 for batch in batches if model(batch, training=False) is not None)
    finally:
        for point in points.values():
            point.observer = None
        set_active(model, True)
    if not count:
        raise UserError("calibration: expected at least one batch of clips, received none")
    for name, point in points.items():
        point.amax = seen[name].range(method) or 1.0  # a tensor of zeros has any range
    return {name: point.amax for name, point in points.items()}


class Magnitudes:
    """A histogram of |x| that widens as larger values come, and the largest of each batch."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS, np.int64)
        self.top = 0.0
        self._largest: list[float] = []

    def add(self, values: Any) -> None:
        """Count a batch of values of any shape."""
        magnitudes = np.abs(np.asarray(values, np.float32)).ravel()
        largest = float(magnitudes.max(initial=0.0))
        self._largest.append(largest)
        if not self.top:
            self.top = largest
        while self.top and largest > self.top:  # two bins become one
            self.counts = np.concatenate(
                [self.counts.reshape(-1, 2).sum(1), np.zeros(BINS // 2, np.int64)]
            )
            self.top *= 2
        if self.top:
            self.counts += np.histogram(magnitudes, BINS, (0, self.top))[0]

    def range(self, method: str) -> float:
        """The largest magnitude that is to survive."""
        if method == "average":
            return float(np.mean(self._largest))
        if not self.top:
            return 0.0
        if method == "percentile":
            share = np.cumsum(self.counts) / self.counts.sum()
            edge = int(np.searchsorted(share, PERCENTILE / 100)) + 1
        else:
            edge = least_divergent(self.counts)
        return min(edge / BINS * self.top, max(self._largest))


def least_divergent(counts: np.ndarray) -> int:
    """Bins to keep so that their 128 levels differ least from the distribution they stand for.

    Args:
        counts: int (bins,), a histogram of magnitudes.

    Returns:
        128 to the number of bins.
    """
    best, least = len(counts), np.inf
    for edge in range(LEVELS, len(counts) + 1, 8):
        kept = counts[:edge].astype(np.float64)
        clipped = kept.copy()
        clipped[-1] += counts[edge:].sum()
        level = np.arange(edge) * LEVELS // edge
        filled = kept > 0
        sums = np.bincount(level, kept, LEVELS)
        sizes = np.maximum(np.bincount(level, filled, LEVELS), 1)
        coarse = np.where(filled, (sums / sizes)[level], 0)
        divergence = _divergence(clipped, coarse)
        if divergence < least:
            best, least = edge, divergence
    return best


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Kullback-Leibler divergence of two unnormalised distributions; zeros of q are smoothed."""
    p, q = p / p.sum(), np.maximum(q / max(q.sum(), 1e-12), 1e-9)
    inside = p > 0
    return float(np.sum(p[inside] * np.log(p[inside] / q[inside])))
