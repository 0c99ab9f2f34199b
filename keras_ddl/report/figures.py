"""The report's figures: ROC, DET, score histogram, reliability; each returns an SVG element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import NormalDist

import numpy as np

from keras_ddl.edge.metrics import roc
from keras_ddl.evaluation.calibration import reliability
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.report.svg import Plot

BARS = 20
DET_RANGE = (0.0005, 0.9)
DET_TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8)
COLOURS = 6
TENTHS = [(place / 10, f"{place / 10:g}") for place in range(0, 11, 2)]


def roc_figure(curves: Mapping[str, Scores]) -> str:
    """Hits over false alarms, a curve per name."""
    plot = Plot("ROC curves", (0, 1), (0, 1), "false alarms", "fakes found", TENTHS, TENTHS)
    plot.curve((0, 1), (0, 1), "chance")
    for number, scores in enumerate(curves.values()):
        found = roc(scores.labels, scores.probabilities)
        xs, ys = found.false_positive_rate, found.true_positive_rate
        plot.curve(xs.tolist(), ys.tolist(), series(number))
    return plot.render()


def det_figure(curves: Mapping[str, Scores]) -> str:
    """Misses over false alarms on normal-deviate axes, a curve per name.

    A rate below the axis lies on the rim; curves of perfect sets are not drawn.
    """
    ends = (probit(DET_RANGE[0]), probit(DET_RANGE[1]))
    ticks = [(probit(rate), f"{100 * rate:g}%") for rate in DET_TICKS]
    plot = Plot("DET curves", ends, ends, "false alarms", "fakes missed", ticks, ticks)
    drawn = 0
    for number, scores in enumerate(curves.values()):
        found = roc(scores.labels, scores.probabilities)
        false, missed = found.false_positive_rate, 1 - found.true_positive_rate
        if np.any((false > 0) & (missed > 0)) or not np.any((false == 0) & (missed == 0)):
            xs, ys = ([probit(rate) for rate in rates] for rates in (false, missed))
            plot.curve(xs, ys, series(number))
            drawn += 1
    if drawn < len(curves):
        words = "nothing to draw: no errors" if not drawn else "sets without errors are not drawn"
        plot.note((ends[0] + ends[1]) / 2, ends[1] - 0.25, words)
    return plot.render()


def histogram_figure(scores: Scores, threshold: float) -> str:
    """Videos by score: fakes upwards, reals downwards, the threshold as a line."""
    edges = np.linspace(0, 1, BARS + 1)
    counts = {
        label: np.histogram(scores.probabilities[scores.labels == label], edges)[0]
        for label in (0, 1)
    }
    top = max(1, *(int(values.max()) for values in counts.values()))
    ticks = [(sign * top, str(top)) for sign in (-1.0, 1.0)] + [(0.0, "0")]
    title = "Videos by score, fakes above, reals below"
    plot = Plot(title, (0, 1), (-top * 1.08, top * 1.08), "score", "videos", TENTHS, ticks)
    for left, right, real, fake in zip(edges, edges[1:], counts[0], counts[1], strict=False):
        plot.bar(left, right, 0, float(fake), "fake")
        plot.bar(left, right, -float(real), 0, "real")
    plot.curve((threshold, threshold), (-top * 1.08, top * 1.08), "threshold")
    return plot.render()


def reliability_figure(scores: Scores, before: np.ndarray) -> str:
    """Share of fakes over the mean probability of bins of equal mass, before and after.

    Args:
        scores: Of clips, after the temperature.
        before: Their probabilities at temperature 1.
    """
    title = "Reliability before and after the temperature"
    words = ("probability of fake", "share of fakes")
    plot = Plot(title, (0, 1), (0, 1), *words, TENTHS, TENTHS)
    plot.curve((0, 1), (0, 1), "chance")
    for values, style in ((before, "before"), (scores.probabilities, "after")):
        bins = reliability(scores.labels, values)
        plot.curve([part.probability for part in bins], [part.fakes for part in bins], style)
        for part in bins:
            radius = 2 + 6 * (part.clips / len(scores.labels)) ** 0.5
            plot.dot(part.probability, part.fakes, radius, style)
    return plot.render()


def legend(names: Sequence[tuple[str, str]]) -> str:
    """Return a key: pairs of a class and its words."""
    items = (f'<li><span class="key {style}"></span>{escape(words)}</li>' for style, words in names)
    return f'<ul class="legend">{"".join(items)}</ul>'


def series(number: int) -> str:
    """Return the class of the n-th curve."""
    return f"series{number % COLOURS}"


def probit(rate: float) -> float:
    """Normal deviate of a rate, which is first brought into the range of the axis."""
    return NormalDist().inv_cdf(min(max(float(rate), DET_RANGE[0]), DET_RANGE[1]))
