"""Temperature scaling, and how far probabilities may be taken at their word. Pure NumPy.

A margin is the difference of a clip's two logits, fake minus real; its probability of fake under a
temperature T is sigmoid(margin / T). Temperature changes no ranking of clips: AUC, EER and AP of
clips stay, only how sure the probabilities sound changes.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_ddl.edge.metrics import Floats, Ints, two_classes

LOWEST, HIGHEST = 0.25, 100.0
"""Bounds of a fitted temperature; a network without a clue asks for an infinite one."""
SEPARABLE = 1.0
"""The temperature where no clip is on the wrong side. The likelihood then only grows as T goes to
0: such data cannot say how sure a network may be, and it is made no surer than it was trained."""
BINS = 15
DIGITS = 4
_HALVINGS = 200


class Temperature(NamedTuple):
    """A fitted temperature.

    Attributes:
        value: In [LOWEST, HIGHEST], to four digits.
        bounded: "separable", "lowest" or "highest" where one of the bounds decided, else "".
        nll_before, nll_after: Mean negative log-likelihood in nats, at T = 1 and at `value`.
    """

    value: float
    bounded: str
    nll_before: float
    nll_after: float


class Bin(NamedTuple):
    """Clips of similar probability: how sure they sound and how often that is right."""

    clips: int
    probability: float
    fakes: float


def margins_from_logits(logits: ArrayLike) -> Floats:
    """Return fake minus real, float64 (N,), of logits (N, 2)."""
    values = np.asarray(logits, np.float64)
    return np.asarray(values[:, 1] - values[:, 0], np.float64)


def probabilities_from_margins(margins: ArrayLike, temperature: float = 1.0) -> Floats:
    """Return probabilities of fake, float64 in [0, 1]; this is where the temperature enters."""
    scaled = np.asarray(margins, np.float64) / temperature
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * scaled)), np.float64)


def nll(labels: ArrayLike, margins: ArrayLike, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood in nats; finite for any finite margin."""
    y, m = two_classes(labels, margins)
    return float(np.logaddexp(0.0, -_right(y, m) / temperature).mean())


def fit_temperature(labels: ArrayLike, margins: ArrayLike) -> Temperature:
    """Find the temperature with the lowest negative log-likelihood.

    In 1/T the likelihood is convex, so its slope has one root or none between the bounds, and
    halving finds it whatever the data.

    Args:
        labels, margins: One per clip of the validation split.

    Raises:
        ValueError: One class alone, margins that are not finite.

    Reference: Guo et al., On Calibration of Modern Neural Networks (2017), section 4.2.
    """
    y, m = two_classes(labels, margins)
    right = _right(y, m)

    def slope(inverse: float) -> float:
        return float(-(right * np.exp(-np.logaddexp(0.0, right * inverse))).mean())

    low, high = 1 / HIGHEST, 1 / LOWEST
    separable = bool((right >= 0).all() and right.any())
    if separable:
        inverse, bounded = 1 / SEPARABLE, "separable"
    elif slope(high) < 0:
        inverse, bounded = high, "lowest"
    elif slope(low) >= 0:
        inverse, bounded = low, "highest"
    else:
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if slope(middle) < 0 else (low, middle)
        inverse, bounded = (low + high) / 2, ""
    value = round(1 / inverse, DIGITS)
    return Temperature(value, bounded, nll(y, m), nll(y, m, value))


def _right(y: Ints, margins: Floats) -> Floats:
    """Margins turned so that a positive one is right."""
    return np.where(y == 1, margins, -margins)


def reliability(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> list[Bin]:
    """Sort clips into bins of equal mass by probability.

    Equal probabilities share a bin, so that the order of the clips does not matter and there may be
    fewer bins than asked for.

    Raises:
        ValueError: One class alone, a probability outside [0, 1], fewer than one bin.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    y, p = two_classes(labels, probabilities)
    if p.min() < 0 or p.max() > 1:
        raise ValueError(f"probabilities must lie in [0, 1], got {p.min():g} to {p.max():g}")
    order = np.argsort(p, kind="stable")
    y, p = y[order], p[order]
    cuts = np.round(np.arange(1, bins) * len(p) / bins).astype(int)
    starts = np.searchsorted(p, p[cuts[cuts < len(p)]])  # of the tie that a cut falls into
    edges = np.unique(np.concatenate([[0], starts, [len(p)]]))
    return [
        Bin(int(end - start), float(p[start:end].mean()), float(y[start:end].mean()))
        for start, end in pairwise(edges)
    ]


def ece(labels: ArrayLike, probabilities: ArrayLike, bins: int = BINS) -> float:
    """Expected calibration error: mean |probability − share of fakes| over bins of equal mass.

    In [0, 1]. Chance keeps it above 0: by up to 0.4·√(bins / clips) where all is well.
    """
    parts = reliability(labels, probabilities, bins)
    total = sum(part.clips for part in parts)
    return sum(part.clips * abs(part.probability - part.fakes) for part in parts) / total
