"""Accuracy against cost: marks where the numbers say, and the right ones marked as best."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations
from typing import Any

import pytest

from keras_ddl.comparison.picture import Point, pareto, picture, points, standalone

SVG = "{http://www.w3.org/2000/svg}"


def point(title: str, gmac: float, auc: float, **more: Any) -> Point:
    values = {"low": auc - 0.05, "high": min(auc + 0.05, 1), "temporal": False, "own": False}
    return Point(title, gmac, auc, **{**values, **more})


SOME = [
    point("Meso4", 0.5, 0.8),
    point("Xception", 67, 0.95),
    point("ResNet18", 14, 0.9),
    point("F3-Net", 150, 0.93),
    point("DDL", 27, 0.97, own=True, temporal=True),
]


def drawn(svg: str) -> ET.Element:
    return ET.fromstring(svg)


def centre(mark: ET.Element) -> tuple[float, float]:
    if mark.tag == "circle":
        return float(mark.get("cx", "")), float(mark.get("cy", ""))
    pairs = [tuple(map(float, pair.split(","))) for pair in mark.get("points", "").split()]
    return sum(x for x, _ in pairs) / 4, sum(y for _, y in pairs) / 4


def test_the_front_by_hand() -> None:
    assert [one.title for one in pareto(SOME)] == ["Meso4", "ResNet18", "DDL"]
    assert pareto(SOME[:1]) == SOME[:1]
    same = [point("A", 1, 0.9), point("B", 1, 0.9), point("C", 1, 0.8), point("D", 2, 0.9)]
    assert [one.title for one in pareto(same)] == ["A", "B"]


def test_marks_lie_by_cost_and_accuracy_and_tell_what_they_are() -> None:
    svg = drawn(picture(SOME, "t"))
    marks = [part for part in svg.iter() if part.get("class", "").startswith("dot ")]
    at = {one.title: centre(mark) for one, mark in zip(SOME, marks, strict=True)}
    across = sorted(at, key=lambda title: at[title][0])
    assert across == ["Meso4", "ResNet18", "DDL", "Xception", "F3-Net"]
    upwards = sorted(at, key=lambda title: -at[title][1])
    assert upwards == ["Meso4", "ResNet18", "F3-Net", "Xception", "DDL"]
    # equal factors are equal distances: 0.5 → 14 is 28 times, 14 → 27 is 27/14 times
    step = (at["DDL"][0] - at["ResNet18"][0]) / (at["ResNet18"][0] - at["Meso4"][0])
    assert step == pytest.approx(0.6568 / 3.3322, abs=1e-3)  # their natural logarithms
    kinds = {one.title: (m.tag, m.get("class")) for one, m in zip(SOME, marks, strict=True)}
    assert kinds["DDL"] == ("polygon", "dot own best")
    assert kinds["ResNet18"] == ("circle", "dot other best")
    assert kinds["Xception"] == ("circle", "dot other plain")


def test_whiskers_are_the_intervals_on_the_axis_of_the_marks() -> None:
    """An AUC of 0.9 lies in the middle between its ends, 0.85 and 0.95."""
    svg = drawn(picture([point("A", 1, 0.9), point("B", 10, 0.7)], "t"))
    ends = [p for p in svg.iter("line") if p.get("class") == "whisker"]
    marks = [centre(part) for part in svg.iter("circle")]
    for line, (x, y) in zip(ends, marks, strict=True):
        assert float(line.get("x1", "")) == float(line.get("x2", "")) == x
        assert (float(line.get("y1", "")) + float(line.get("y2", ""))) / 2 == pytest.approx(y, 0.01)
    high, low = (float(ends[0].get(name, "")) for name in ("y1", "y2"))
    assert (marks[1][1] - marks[0][1]) == pytest.approx(2 * (low - high), abs=0.3)


def test_every_name_is_there_once_and_none_covers_another() -> None:
    crowd = [point(f"Method {n:02d}", 10 + n, 1.0 if n % 2 else 0.995) for n in range(14)]
    svg = drawn(picture(crowd, "t"))
    names = [part for part in svg.iter("text") if part.get("class") == "named"]
    assert sorted(part.text or "" for part in names) == [one.title for one in crowd]
    boxes = []
    for part in names:
        x, y, wide = float(part.get("x", "")), float(part.get("y", "")), 6.0 * len(part.text or "")
        start = {"start": 0.0, "middle": wide / 2, "end": wide}[part.get("text-anchor", "")]
        boxes.append((x - start, y - 9, x - start + wide, y + 2))
    for one, other in combinations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)


@pytest.mark.parametrize("gmac", [1e-4, 3.0, 2500.0])
def test_a_lone_method_of_any_cost_has_axes_around_it(gmac: float) -> None:
    svg = drawn(picture([point("Alone", gmac, 0.51, low=0.0, high=1.0)], "t"))
    (x, y) = centre(next(svg.iter("circle")))
    assert 50 < x < 748 and 12 < y < 418
    ticks = [part.text for part in svg.iter("text") if re.fullmatch(r"[\d.e-]+", part.text or "")]
    assert "1.00" in ticks and len(set(ticks)) == len(ticks)


def test_the_file_is_an_svg_of_its_own_with_its_colours() -> None:
    root = drawn(standalone(picture([point("<A & B>", 1, 0.9)], "t")))
    assert root.tag == f"{SVG}svg" and root.get("width") == "760"
    style = next(root.iter(f"{SVG}style")).text or ""
    assert "--accent:" in style and ".whisker" in style
    assert "<A & B>" in [part.text for part in root.iter(f"{SVG}text")]


def test_only_what_has_a_result_and_a_cost_is_drawn(made_up: Any) -> None:
    found = made_up(
        {
            "xception": ("Xception", 67.0, {"Celeb-DF-v2": 0.95}),
            "dil": ("DIL", None, {"Celeb-DF-v2": 0.9}),
            "gff": ("GFF", 5.0, {"Celeb-DF-v2": "no weights"}),
            "clrnet": ("CLRNet", 5.0, {}),
            "ddl": ("DDL", 27.0, {"Celeb-DF-v2": 0.97}),
        }
    )
    one, other = points(found, found["datasets"][0])
    assert one == Point("Xception", 67.0, 0.95, pytest.approx(0.9), 1.0, False, False)
    assert (other.title, other.own, other.temporal) == ("DDL", True, True)
