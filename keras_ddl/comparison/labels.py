"""Label positions beside points, so that none covers another or a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

RINGS = (7, 15, 26, 38, 52, 66, 80, 96, 112, 130, 150, 175, 200)
"""Distances from a point at which its name may stand, pixels."""
WAYS = (
    (1.0, 0.0),
    (-1.0, 0.0),
    (0.0, -1.0),
    (0.0, 1.0),
    (0.75, -0.75),
    (0.75, 0.75),
    (-0.75, -0.75),
    (-0.75, 0.75),
    (0.4, -0.95),
    (0.4, 0.95),
    (-0.4, -0.95),
    (-0.4, 0.95),
)
"""Directions in which it may stand, to the right and down, the most usual ones first."""
CROSSING = 25.0  # what it costs, in pixels of distance, that a name lies on a line
CROWD = 70.0  # points so near each other are neighbours

Place = tuple[float, float]


class Box(NamedTuple):
    """A rectangle; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether the two have more than an edge in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def nearest(self, place: Place) -> Place:
        """Return the place in the box that is nearest to another."""
        x, y = place
        return min(max(x, self.left), self.right), min(max(y, self.top), self.bottom)

    def crossed(self, start: Place, end: Place) -> bool:
        """Whether a straight line between two places goes through the inside."""
        first, last = 0.0, 1.0  # what part of the line is inside, as shares of its length
        for from_, to, low, high in (
            (start[0], end[0], self.left, self.right),
            (start[1], end[1], self.top, self.bottom),
        ):
            step = to - from_
            if step == 0:
                if not low < from_ < high:
                    return False
                continue
            one, other = sorted(((low - from_) / step, (high - from_) / step))
            first, last = max(first, one), min(last, other)
        return first < last


def place_labels(
    points: Sequence[Place],
    widths: Sequence[float],
    height: float,
    frame: Box,
    marks: Sequence[Box],
    lines: Sequence[Box] = (),
) -> list[Box]:
    """Find a place for each name near its point.

    Each takes the best place that is left; several orders are tried, and the best result is kept.

    Args:
        points: Where the named things are.
        widths: Of their names.
        height: Of every name.
        frame: What no name may leave.
        marks: The mark of each point, which no name may cover, nor the straight line from another
            point to its name if that can be helped.
        lines: What a name should rather not lie on.

    Returns:
        A box per point.
    """
    neighbours = [sum(math.dist(point, other) < CROWD for other in points) for point in points]
    numbers = range(len(points))
    orders = (
        sorted(numbers, key=lambda n: (-neighbours[n], points[n])),
        sorted(numbers, key=lambda n: points[n]),
        sorted(numbers, key=lambda n: points[n], reverse=True),
        sorted(numbers, key=lambda n: (points[n][1], points[n][0])),
    )
    found = []
    for order in orders:
        placed: dict[int, Box] = {}
        costs = []
        for number in order:
            things = [*(mark for n, mark in enumerate(marks) if n != number), *placed.values()]
            names = [(points[n], box) for n, box in placed.items()]
            cost = partial(_cost, points[number], marks[number], frame, things, names, lines)
            best: tuple[float, ...] = (math.inf,)
            for far, box in _around(points[number], widths[number], height):
                if best <= (0, 0, far):  # those that follow are farther away still
                    break
                if (mine := cost(box, far)) < best:
                    best, placed[number] = mine, box
            costs.append(best)
        total = [sum(parts) for parts in zip(*costs, strict=True)]
        found.append((total, [placed[number] for number in numbers]))
    return min(found)[1]


def _cost(
    point: Place,
    own: Box,
    frame: Box,
    things: Sequence[Box],
    names: Sequence[tuple[Place, Box]],
    lines: Sequence[Box],
    box: Box,
    far: float,
) -> tuple[int, int, float]:
    """What is wrong with a place for a name, `far` from its point; the first that differs decides.

    How many things it covers, or leaves the frame; how many straight lines from points to names go
    through names and marks; pixels of distance, with what lines below it cost.
    """
    outside = (
        box.left < frame.left
        or box.right > frame.right
        or box.top < frame.top
        or box.bottom > frame.bottom
    )
    end = box.nearest(point)
    covered = outside + sum(box.meets(thing) for thing in (own, *things))
    crossed = sum(thing.crossed(point, end) for thing in things) + sum(
        box.crossed(start, name.nearest(start)) for start, name in names
    )
    return covered, crossed, far + CROSSING * sum(box.meets(line) for line in lines)


def _around(point: Place, width: float, height: float) -> Iterator[tuple[float, Box]]:
    """Places around a point, nearest first; the distance is a little more to the less usual."""
    x, y = point
    for ring in RINGS:
        for number, (right, down) in enumerate(WAYS):
            # the side of the name that faces the point, and where along it the point is
            left = x + right * ring - width * (1 - right) / 2
            top = y + down * ring - height * (1 - down) / 2
            yield ring + 0.5 * number, Box(left, top, left + width, top + height)
