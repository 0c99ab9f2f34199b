"""`place_labels`: names beside points, so that none covers another or a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

RINGS = (7, 15, 26, 40, 58, 80, 110, 150, 200)
"""Distances from a point at which its name may stand, pixels."""
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
    """Find a place for each name near its point; those with many neighbours choose first.

    Args:
        points: Where the named things are.
        widths: Of their names.
        height: Of every name.
        frame: What no name may leave.
        marks: The mark of each point, which no name may cover; nor may the straight line from
            another point to its name.
        lines: What a name should rather not lie on.

    Returns:
        A box per point. Where there is no free place, the one that covers least.
    """
    neighbours = [sum(math.dist(point, other) < CROWD for other in points) for point in points]
    placed: dict[int, Box] = {}
    for number in sorted(range(len(points)), key=lambda n: (-neighbours[n], points[n], n)):
        ties = [(points[n], box.nearest(points[n])) for n, box in placed.items()]
        others = [mark for n, mark in enumerate(marks) if n != number]
        candidates = _around(points[number], widths[number], height)
        costs = (
            (_faults(points[number], box, frame, others, list(placed.values())), far, box)
            for far, box in candidates
        )
        placed[number] = min(
            (
                faults + box.meets(marks[number]),
                far
                + CROSSING * sum(box.meets(line) for line in lines)
                + CROSSING * sum(box.crossed(*tie) for tie in ties),
                box,
            )
            for faults, far, box in costs
        )[2]
    return [placed[number] for number in range(len(points))]


def _faults(point: Place, box: Box, frame: Box, marks: Sequence[Box], names: Sequence[Box]) -> int:
    """What is wrong with a place for a name: each thing covered, or crossed on the way to it."""
    outside = (
        box.left < frame.left
        or box.right > frame.right
        or box.top < frame.top
        or box.bottom > frame.bottom
    )
    end = box.nearest(point)
    return outside + sum(
        box.meets(other) or other.crossed(point, end) for other in (*marks, *names)
    )


def _around(point: Place, width: float, height: float) -> Iterator[tuple[float, Box]]:
    """Places around a point, each with its distance, which is a little more to the less usual."""
    x, y = point
    for ring in RINGS:
        aside = 0.75 * ring
        places = (
            (0.0, x + ring, y - height / 2),
            (1.0, x - ring - width, y - height / 2),
            (2.0, x - width / 2, y - ring - height),
            (3.0, x - width / 2, y + ring),
            (4.0, x + aside, y - aside - height),
            (4.0, x + aside, y + aside),
            (5.0, x - aside - width, y - aside - height),
            (5.0, x - aside - width, y + aside),
        )
        for less, left, top in places:
            yield ring + less, Box(left, top, left + width, top + height)
