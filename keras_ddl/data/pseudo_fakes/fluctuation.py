"""Fluctuation over time: correlated random series, as cameras and generators have them."""

from __future__ import annotations

import numpy as np


def fluctuation(
    random: np.random.Generator, times_ms: np.ndarray, tau_ms: float, count: int = 1
) -> np.ndarray:
    """Ornstein-Uhlenbeck series: mean 0, standard deviation 1, memory `tau_ms`.

    Args:
        random: Source of chance.
        times_ms: (T,), increasing.
        tau_ms: Time in which the memory falls to 1/e; 0 draws every frame anew.
        count: Number of independent series.

    Returns:
        float64, (T, count).
    """
    series = random.standard_normal((len(times_ms), count))
    for i in range(1, len(times_ms)):
        kept = np.exp(-(times_ms[i] - times_ms[i - 1]) / tau_ms) if tau_ms > 0 else 0.0
        series[i] = kept * series[i - 1] + np.sqrt(1 - kept**2) * series[i]
    return series


def memory_ms(random: np.random.Generator) -> float:
    """A memory between a frame and a drift: 0 in a quarter of the draws, else 30 to 2000 ms."""
    if random.random() < 0.25:
        return 0.0
    return float(np.exp(random.uniform(np.log(30), np.log(2000))))
