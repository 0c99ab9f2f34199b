"""The table against numbers put together by hand, and the paper's beside them."""

from __future__ import annotations

from typing import Any

import pytest

from keras_ddl.comparison import table

METHODS = {
    "xception": ("Xception", 67.0, {"Celeb-DF-v2": 0.95, "mine": 0.9}),
    "gff": ("GFF", 100.0, {"Celeb-DF-v2": "no | weights"}),
    "resnet18": ("ResNet18", 0.5, {"Celeb-DF-v2": 0.95, "mine": 0.8}),
    "ddl": ("DDL", 27.0, {"Celeb-DF-v2": 0.90004, "mine": 0.90001}),
}


@pytest.fixture
def found(made_up: Any) -> dict[str, Any]:
    return made_up(METHODS)


def test_columns_are_the_papers_and_the_costs() -> None:
    levels = ["clip ACC", "clip AUC", "clip F1", "video ACC", "video AUC", "video F1"]
    assert list(table.HEADS) == [*levels, "parameters", "GMAC/clip", "clips/s"]


def test_numbers_intervals_and_the_papers(found: dict[str, Any]) -> None:
    xception, gff, resnet, ddl = table.rows(found, found["datasets"][0])
    shown = [number.text for number in xception.numbers]
    assert shown[:6] == ["0.8300", "0.8500", "0.8400", "0.9300", "0.9500", "0.9400"]
    assert shown[6:] == ["1 k", "67", "1.49"]
    assert xception.numbers[4].interval == "0.9000 to 1.0000"
    # as printed for Celeb-DF: frame level, then video level
    printed = [".9780", ".9981", ".9833", ".9923", ".9901", ".9941"]
    assert [n.paper for n in xception.numbers] == [*(f"0{text}" for text in printed), "", "", ""]
    own = [".9907", ".9998", ".9933", ".9961", ".9970", ".9985"]
    assert [n.paper for n in ddl.numbers[:6]] == [f"0{text}" for text in own]
    assert [n.paper for n in resnet.numbers] == [""] * 9  # no row of that table
    assert gff.numbers[0].paper == "0.9859" and gff.numbers[0].text == "–"
    assert [row.state for row in (xception, gff, resnet, ddl)] == ["", "failed", "", ""]


def test_the_best_of_a_column_is_what_shows_the_best(found: dict[str, Any]) -> None:
    """The lowest cost, the highest of the rest; numbers that are shown alike are best alike."""

    def best(dataset: int, place: int) -> list[str]:
        rows = table.rows(found, found["datasets"][dataset])
        return [row.method["name"] for row in rows if row.numbers[place].best]

    assert best(0, 4) == ["xception", "resnet18"]
    assert best(1, 4) == ["xception", "ddl"]  # 0.9 and 0.90001
    assert best(0, 6) == ["xception"] and best(0, 7) == ["resnet18"] == best(0, 8)


def test_a_lone_number_is_not_the_best(made_up: Any) -> None:
    found = made_up({"xception": METHODS["xception"]})
    (row,) = table.rows(found, found["datasets"][0])
    assert not any(number.best for number in row.numbers)


def test_on_faceforensics_the_paper_has_videos_of_its_backbones_only(made_up: Any) -> None:
    title = "FaceForensics++"
    found = made_up(
        {
            "resnet18": ("ResNet18", 1.0, {title: 0.9}),
            "dil": ("DIL", 1.0, {title: 0.9}),
            "ddl": ("DDL", 1.0, {title: 0.9}),
        }
    )
    rows = table.rows(found, found["datasets"][0])
    assert [[number.paper for number in row.numbers[3:6]] for row in rows] == [
        ["0.9536", "0.9594", ""],
        ["", "", ""],
        ["0.9893", "0.9929", ""],
    ]
    assert "of its two backbones and its own method alone" in table.paper_note(title)


def test_what_the_paper_does_not_print_is_said(found: dict[str, Any]) -> None:
    rows = table.rows(found, found["datasets"][1])
    assert not any(number.paper for row in rows for number in row.numbers)
    assert table.paper_note("mine").startswith("The paper prints no numbers for mine")
    assert [row.state for row in rows] == ["", "not yet", "", ""]


def test_markdown_has_the_same_and_stays_a_table(found: dict[str, Any]) -> None:
    found["methods"][1]["title"] = "G|F*F"
    head, rule, xception, gff, *_ = table.markdown(found, found["datasets"][0]).splitlines()
    assert head.count("|") == rule.count("|") == xception.count("|") == 11
    assert "| **0.9500** (0.9000 to 1.0000)<br>paper 0.9901 |" in xception
    assert gff.startswith("| G\\|F\\*F (failed) | –<br>paper 0.9859 |")


def test_failures_are_told_with_their_reasons(found: dict[str, Any]) -> None:
    found["datasets"][0]["cells"]["ddl"]["export_error"] = "the gate"
    found["methods"][0]["cost_error"] = "a layer"
    told = list(table.remarks(found, found["datasets"][0]))
    assert told == [("Xception", "a layer"), ("GFF", "no | weights"), ("DDL", "the gate")]


def test_few_videos_are_counted_per_dataset(found: dict[str, Any]) -> None:
    assert table.few(found, 40) == []
    assert table.few(found, 41) == ["Celeb-DF-v2 (40 real, 80 fake)", "mine (40 real, 80 fake)"]


def test_the_terminal_shows_videos_and_costs(found: dict[str, Any]) -> None:
    lines = table.summary(found).splitlines()
    assert lines[0] == "Celeb-DF-v2, test videos:"
    assert lines[2].split() == ["Xception", "0.9300", "0.9500", "0.9400", "1", "k", "67", "1.49"]
    assert lines[3].split()[-1] == "failed" and lines[9].split()[-2:] == ["not", "yet"]
