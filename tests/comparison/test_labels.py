"""Names beside points: none covers another name or a point, whatever the points."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from keras_ddl.comparison.labels import Box, place_labels

FRAME = Box(50, 12, 748, 418)


def placed(points: list[tuple[float, float]], widths: list[float]) -> list[Box]:
    marks = [Box(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    boxes = place_labels(points, widths, 14, FRAME, marks)
    for box, width in zip(boxes, widths, strict=True):
        assert box.right - box.left == pytest.approx(width)
        assert box.bottom - box.top == pytest.approx(14)
        assert box.left >= FRAME.left and box.right <= FRAME.right
        assert box.top >= FRAME.top and box.bottom <= FRAME.bottom
        assert not any(box.meets(mark) for mark in marks)
    assert not any(one.meets(other) for one, other in combinations(boxes, 2))
    return boxes


def distances(points: list[tuple[float, float]], boxes: list[Box]) -> list[float]:
    return [math.dist(box.nearest(point), point) for point, box in zip(points, boxes, strict=True)]


@pytest.mark.parametrize("seed", range(20))
def test_fourteen_names_anywhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [(rng.uniform(60, 740), rng.uniform(30, 410)) for _ in range(14)]
    boxes = placed(points, rng.uniform(25, 120, 14).tolist())
    assert max(distances(points, boxes)) < 20, "with so much room each stands at its point"


@pytest.mark.parametrize("seed", range(10))
def test_fourteen_names_along_the_upper_edge(seed: int) -> None:
    """All methods perfect: the usual picture of an easy set."""
    rng = np.random.default_rng(seed)
    points = [(rng.uniform(60, 740), 45.0) for _ in range(14)]
    boxes = placed(points, rng.uniform(25, 120, 14).tolist())
    assert np.median(distances(points, boxes)) < 20 and max(distances(points, boxes)) < 100


def test_a_lone_name_stands_to_the_right_and_on_the_left_where_there_is_no_room() -> None:
    (box,) = placed([(300.0, 200.0)], [80])
    assert box == Box(307, 193, 387, 207)
    (box,) = placed([(700.0, 200.0)], [80])
    assert box.right < 700


def test_a_name_keeps_off_a_line_where_it_can() -> None:
    line = Box(300, 199, 700, 201)
    mark = Box(293, 193, 307, 207)
    (box,) = place_labels([(300.0, 200.0)], [80], 14, FRAME, [mark], [line])
    assert not box.meets(line) and math.dist(box.nearest((300, 200)), (300, 200)) < 20


@pytest.mark.parametrize(
    ("start", "end", "crossed"),
    [
        ((0, 5), (20, 5), True),  # through the middle
        ((0, 0), (20, 20), False),  # touches a corner
        ((5, -5), (25, 15), True),  # from corner to corner
        ((0, 5), (9, 5), False),  # ends before it
        ((0, 0), (20, 0), False),  # along an edge
        ((12, 2), (13, 3), True),  # wholly inside
        ((0, 15), (20, 11), False),  # passes below
        ((15, -5), (15, 30), True),  # straight down
        ((9, -5), (9, 30), False),
    ],
)
def test_lines_through_a_box(
    start: tuple[float, float], end: tuple[float, float], crossed: bool
) -> None:
    assert Box(10, 0, 20, 10).crossed(start, end) == crossed
    assert Box(10, 0, 20, 10).crossed(end, start) == crossed
