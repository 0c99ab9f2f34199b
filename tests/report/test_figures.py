"""Figures: points where the numbers say."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.report import figures
from keras_ddl.report.svg import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH

LABELS = np.array([0, 0, 1, 1])


def scores(values: list[float]) -> Scores:
    keys = tuple(("d", "m", "", str(number)) for number in range(len(values)))
    return Scores(keys, LABELS, np.array(values))


def curve(svg: str, style: str) -> list[tuple[float, float]]:
    """Points of a curve in shares of the axes."""
    element = next(
        part for part in ET.fromstring(svg).iter("polyline") if style in part.get("class", "")
    )
    points = [tuple(map(float, pair.split(","))) for pair in element.get("points", "").split()]
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    return [
        (round((x - LEFT) / across, 2), round((HEIGHT - BOTTOM - y) / down, 2)) for x, y in points
    ]


def test_roc_goes_through_its_points() -> None:
    svg = figures.roc_figure({"clips": scores([0.1, 0.6, 0.4, 0.9])})
    expected = [(0.0, 0.0), (0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)]
    assert curve(svg, "series0") == expected


def test_det_is_symmetric_in_the_normal_deviate_and_says_when_it_is_empty() -> None:
    svg = figures.det_figure({"clips": scores([0.1, 0.6, 0.4, 0.9])})
    middle = curve(svg, "series0")[1:3]  # 0 and 50 % false alarms, 50 % missed
    place = round(
        (0 - figures.probit(0)) / (figures.probit(1) - figures.probit(0)), 2
    )  # 50 % has deviate 0
    assert middle == [(0.0, place), (place, place)]
    empty = figures.det_figure({"clips": scores([0.1, 0.2, 0.8, 0.9])})
    assert "polyline" not in empty and "no errors" in empty


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.3, 1.0])
def test_probit_stays_on_the_axis(rate: float) -> None:
    assert figures.probit(0.0) <= figures.probit(rate) <= figures.probit(1.0)


def test_histogram_has_reals_below_and_fakes_above() -> None:
    svg = figures.histogram_figure(scores([0.02, 0.03, 0.97, 0.03]), 0.5)
    zero = (TOP + HEIGHT - BOTTOM) / 2
    heights = {"fake": 0.0, "real": 0.0}
    for bar in ET.fromstring(svg).iter("rect"):
        style, top = bar.get("class", "").split()[-1], float(bar.get("y", 0))
        tall = float(bar.get("height", 0))
        heights[style] += tall
        assert top + tall == pytest.approx(zero, abs=0.2) or top == pytest.approx(zero, abs=0.2)
        assert (top < zero - 0.2) <= (style == "fake")
    assert heights["fake"] == pytest.approx(heights["real"], abs=0.3)  # two videos each


def test_reliability_draws_a_dot_per_bin() -> None:
    after = scores([0.1, 0.3, 0.6, 0.9])
    svg = figures.reliability_figure(after, np.array([0.0, 0.0, 1.0, 1.0]))
    styles = [dot.get("class", "").split()[-1] for dot in ET.fromstring(svg).iter("circle")]
    assert (styles.count("before"), styles.count("after")) == (2, 4)
