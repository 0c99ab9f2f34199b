"""Accuracy against cost as a picture: AUC of videos over GMAC per clip, a mark per method."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from keras_ddl.comparison.labels import Box, place_labels
from keras_ddl.edge.pages import style_sheet
from keras_ddl.report.svg import Plot, Tick

SIZE = (760, 460)
RADIUS = 5.0
LETTER, LINE = 6.3, 14.0  # of a name: width of a letter and height, pixels
GAP = 3.0  # on either side of a name
LEADER = 14.0  # names farther away than this are tied to their point
HEADROOM = 0.1  # of the axis' range, above an AUC of 1
LEAST_RANGE = 0.1
BELOW = 0.15  # intervals may reach farther down than this below the lowest AUC: they are cut off
STEPS = (0.01, 0.02, 0.05, 0.1, 0.2)

KEY = [
    ("own", "the paper's own method"),
    ("other", "comparison methods"),
    ("other best round", "no other is both cheaper and better"),
    ("other plain round", "another is"),
    ("other round", "frame by frame, averaged"),
    ("other corner", "frames together"),
    ("front", "the best there is for the cost"),
]
"""What the marks mean: pairs of a class and its words."""


class Point(NamedTuple):
    """A method in the picture.

    Args:
        title: Its name.
        gmac: Cost of a clip, 10⁹ multiply-accumulates, above 0.
        auc: Of videos.
        low, high: Its interval.
        temporal: Whether it looks at frames together.
        own: Whether it is the paper's own.
    """

    title: str
    gmac: float
    auc: float
    low: float
    high: float
    temporal: bool
    own: bool


def points(comparison: dict[str, Any], dataset: dict[str, Any]) -> list[Point]:
    """Return what can be drawn of a dataset: methods with a result and a known cost."""
    found = []
    for method in comparison["methods"]:
        cell = dataset["cells"].get(method["name"], {})
        if cell.get("test") and method.get("gmac"):
            low, high = cell["test"]["intervals"]["video"]["auc"]
            auc = cell["test"]["video"]["auc"]
            about = (method["title"], method["gmac"], auc, low, high)
            found.append(Point(*about, method["temporal"], method["own"]))
    return found


def pareto(found: Sequence[Point]) -> list[Point]:
    """Return the methods than which none is both cheaper and better, cheapest first.

    One that is as good as a cheaper one, or costs as much as a better one, is not among them; two
    alike in both are.
    """
    return sorted(
        (
            point
            for point in found
            if not any(
                other.gmac <= point.gmac
                and other.auc >= point.auc
                and (other.gmac, other.auc) != (point.gmac, point.auc)
                for other in found
            )
        ),
        key=lambda point: (point.gmac, point.title),
    )


def picture(found: Sequence[Point], title: str) -> str:
    """Return the picture as an SVG element.

    Args:
        found: What to draw, one or more.
        title: For those who do not see it.
    """
    plot = _axes(found, title)
    front = pareto(found)
    steps = _steps(front, max(point.gmac for point in found))
    xs, ys = [math.log10(x) for x, _ in steps], [y for _, y in steps]
    plot.curve(xs, ys, "front")
    corners = [plot.at(x, y) for x, y in zip(xs, ys, strict=True)]
    lines = [_between(*ends) for ends in pairwise(corners)]
    places = {point: plot.at(math.log10(point.gmac), point.auc) for point in found}
    for point, (x, _) in places.items():
        top, bottom = (plot.at(0, value)[1] for value in (point.high, point.low))
        plot.stroke((x, top), (x, bottom), "whisker")
        lines.append(_between((x, top), (x, bottom)))
    for point in found:
        style = f"{'own' if point.own else 'other'} {'best' if point in front else 'plain'}"
        draw = plot.diamond if point.temporal else plot.dot
        radius = RADIUS * 1.25 if point.temporal else RADIUS
        draw(math.log10(point.gmac), point.auc, radius, style)
    _name(plot, places, lines)
    return plot.render()


def standalone(svg: str) -> str:
    """Return a picture as the text of a file of its own, colours included."""
    opening, _, rest = svg.partition(">")
    width, height = SIZE
    opening = opening.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    style = f"<style>{style_sheet()}text {{ font-family: sans-serif; }}</style>"
    ground = '<rect width="100%" height="100%" style="fill: var(--card)"/>'
    return f'{opening} width="{width}" height="{height}">{style}{ground}{rest}\n'


def _axes(found: Sequence[Point], title: str) -> Plot:
    costs = [math.log10(point.gmac) for point in found]
    left, right = min(costs), max(costs)
    room = max(0.25, 0.08 * (right - left))
    bottom, step = _bottom(found)
    y = (bottom, 1 + HEADROOM * (1 - bottom))
    count = round((1 - bottom) / step)
    y_ticks = [(1 - n * step, f"{1 - n * step:.2f}") for n in range(count + 1)]
    x = (left - room, right + room)
    words = ("GMAC per clip", "AUC of videos")
    return Plot(title, x, y, *words, _decades(*x), y_ticks, SIZE)


def _bottom(found: Sequence[Point]) -> tuple[float, float]:
    """Where the AUC axis begins, on a tick, and the distance of its ticks."""
    worst = min(point.auc for point in found)
    lowest = max(min(point.low for point in found), worst - BELOW)
    span = max(1 - lowest, LEAST_RANGE) * 1.02
    step = next((step for step in STEPS if span / step <= 8), STEPS[-1])
    return max(1 - math.ceil(span / step) * step, 0.0), step


def _decades(left: float, right: float) -> list[Tick]:
    """Round numbers on a logarithmic axis: 1, 2 and 5, or the powers of ten where these crowd."""
    factors = (1, 2, 5) if right - left < 4 else (1,)
    numbers = [
        factor * 10.0**power
        for power in range(math.floor(left), math.ceil(right) + 1)
        for factor in factors
    ]
    return [(math.log10(n), f"{n:g}") for n in numbers if left <= math.log10(n) <= right]


def _steps(front: Sequence[Point], dearest: float) -> list[tuple[float, float]]:
    """The best AUC that each cost buys, as the corners of stairs."""
    corners: list[tuple[float, float]] = []
    for point in front:
        if corners:
            corners.append((point.gmac, corners[-1][1]))
        corners.append((point.gmac, point.auc))
    return [*corners, (dearest, corners[-1][1])]


def _between(start: tuple[float, float], end: tuple[float, float]) -> Box:
    """The box of a line that goes across or down."""
    (x0, x1), (y0, y1) = (sorted(pair) for pair in zip(start, end, strict=True))
    return Box(x0 - 1, y0 - 1, x1 + 1, y1 + 1)


def _name(plot: Plot, places: dict[Point, tuple[float, float]], lines: Sequence[Box]) -> None:
    """Write the names beside their points; those that stand farther off are tied to them."""
    reach = RADIUS + 2
    marks = [Box(x - reach, y - reach, x + reach, y + reach) for x, y in places.values()]
    widths = [LETTER * len(point.title) + 2 * GAP for point in places]
    at = list(places.values())
    boxes = place_labels(at, widths, LINE, Box(*plot.frame()), marks, lines)
    for point, (x, y), box in zip(places, at, boxes, strict=True):
        end = box.nearest((x, y))
        distance = math.dist(end, (x, y))
        if distance > LEADER:
            share = RADIUS / distance
            start = (x + share * (end[0] - x), y + share * (end[1] - y))
            plot.stroke(start, end, "leader")
        across, anchor = _beside(x, box)
        plot.word((across, box.bottom - 3.5), point.title, anchor, "named")


def _beside(x: float, box: Box) -> tuple[float, str]:
    """Where the words of a name stand in their box: at the side that is nearer to its point."""
    if box.left >= x:
        return box.left + GAP, "start"
    if box.right <= x:
        return box.right - GAP, "end"
    return (box.left + box.right) / 2, "middle"
