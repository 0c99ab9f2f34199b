"""The threshold's rule: the one that gets most videos of either class right, on validation."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_ddl.edge.metrics import roc, two_classes

EDGE = 1e-6
"""How close to 0 and 1 a threshold may come: float32 probabilities tell nothing finer apart."""
DIGITS = 4
RULE = (
    "highest balanced accuracy of validation videos; middle of the widest interval of thresholds "
    "that reach it; ties: the interval nearest to 0.5"
)


class Threshold(NamedTuple):
    """A chosen threshold.

    Attributes:
        value: In (0, 1), the middle of the interval, to four digits where that stays inside.
        low, high: Every threshold in (low, high] gives the same verdicts, or as good ones.
        balanced_accuracy: Mean of the shares of fakes and of reals judged rightly, in [0, 1].
    """

    value: float
    low: float
    high: float
    balanced_accuracy: float


def choose_threshold(labels: ArrayLike, scores: ArrayLike) -> Threshold:
    """Choose a threshold by `RULE`.

    Args:
        labels, scores: One per video; scores in [0, 1]. A score at the threshold is fake.

    Raises:
        ValueError: One class alone, a score outside [0, 1].
    """
    y, s = two_classes(labels, scores)
    if s.min() < 0 or s.max() > 1:
        raise ValueError(f"scores must lie in [0, 1], got {s.min():g} to {s.max():g}")
    reached, spans = _best_spans(y, s)
    low, high = max(spans, key=lambda span: (span[1] - span[0], -abs(sum(span) / 2 - 0.5)))
    middle = (low + high) / 2
    readable = round(middle, DIGITS)
    value = next(number for number in (readable, middle, high) if low < number <= high)
    return Threshold(value, low, high, reached)


def _best_spans(y: np.ndarray, s: np.ndarray) -> tuple[float, list[tuple[float, float]]]:
    """The best balanced accuracy, and the spans (low, high] of thresholds that reach it."""
    s = np.clip(s, EDGE, 1 - EDGE)
    false, true = roc(y, s)
    balanced = (true + 1 - false) / 2  # one per verdict: "nothing is fake", then score by score
    ends = np.concatenate([[1 - EDGE], np.unique(s)[::-1], [EDGE]])  # falling
    balanced[ends[:-1] == ends[1:]] = -1  # no threshold gives this verdict
    best = np.append(False, np.isclose(balanced, balanced.max(), rtol=0, atol=1e-12))
    spans: list[tuple[float, float]] = []
    for place in np.flatnonzero(best[1:]):
        low, high = float(ends[place + 1]), float(ends[place])
        if best[place]:  # so is the verdict before: one span
            low, high = low, spans.pop()[1]
        spans.append((low, high))
    return float(balanced.max()), spans
