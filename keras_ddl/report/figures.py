"""Figures of the report as SVG elements: ROC, DET, score histogram, reliability, robustness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from keras_ddl.edge.metrics import roc
from keras_ddl.evaluation.calibration import probabilities_from_margins, reliability
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.results import UNTOUCHED, RobustnessResult
from keras_ddl.evaluation.score_sets import ScoredSet
from keras_ddl.report.svg import Plot

BARS = 20
DET_RANGE = (0.0005, 0.9)
DET_TICKS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8)
COLOURS = 6
TENTHS = [(tenths / 10, f"{tenths / 10:g}") for tenths in range(0, 11, 2)]
CURVES = 5  # of a robustness figure


class Card(NamedTuple):
    """Figure of the page.

    Args:
        title: Its heading.
        svg: An SVG element.
        key: Pairs of a class and its words.
    """

    title: str
    svg: str
    key: list[tuple[str, str]]


def cards(part: ScoredSet, threshold: float) -> list[Card]:
    """Return the figures of a test set; of one class alone, its histogram."""
    videos = part.scores.videos()
    kinds = [("fake", "fake"), ("real", "real"), ("threshold", "threshold")]
    histogram = Card("Scores of videos", histogram_figure(videos, threshold), kinds)
    if part.result.undefined():
        return [histogram]
    curves: dict[str, Scores] = {"clips": part.scores, "videos": videos}
    names = [(series(number), name) for number, name in enumerate(curves)]
    before = probabilities_from_margins(part.margins)
    errors = [
        ("before", f"before, ECE {part.result.ece_before:.4f}"),
        ("after", f"after, ECE {part.result.ece_after:.4f}"),
    ]
    return [
        Card("ROC", roc_figure(curves), [*names, ("chance", "chance")]),
        Card("DET", det_figure(curves), names),
        histogram,
        Card("Reliability of clips", reliability_figure(part.scores, before), errors),
    ]


def robustness_cards(found: RobustnessResult) -> list[Card]:
    """Return AUC over the level of damage, a few families a figure."""
    families = found.families()
    parts = [families[i : i + CURVES] for i in range(0, len(families), CURVES)]
    return [
        Card(
            "AUC by level",
            robustness_figure(found, part),
            [(series(number), name) for number, name in enumerate(part)],
        )
        for part in parts
    ]


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
        plot.word(plot.at(sum(ends) / 2, ends[1] - 0.25), words, "middle")
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


def robustness_figure(found: RobustnessResult, families: Sequence[str]) -> str:
    """AUC of videos over the level of damage, a curve per family, each from the untouched ones."""
    levels = found.levels()
    ticks = [(float(level), str(level)) for level in (0, *levels)]
    ends = (0, max(levels))
    plot = Plot("AUC by level of damage", ends, (0, 1), "level", "AUC", ticks, TENTHS)
    plot.curve(ends, (0.5, 0.5), "chance")
    for order, family in enumerate(families):
        rows = [found.at(UNTOUCHED, 0), *(found.at(family, level) for level in levels)]
        points = [(float(row.level), row.auc) for row in rows if row.auc is not None]
        plot.curve([x for x, _ in points], [y for _, y in points], series(order))
        for x, y in points:
            plot.dot(x, y, 3, series(order))
    return plot.render()


def series(number: int) -> str:
    """Return the class of the n-th curve."""
    return f"series{number % COLOURS}"


def probit(rate: float) -> float:
    """Normal deviate of a rate, which is first brought into the range of the axis."""
    return NormalDist().inv_cdf(min(max(float(rate), DET_RANGE[0]), DET_RANGE[1]))
