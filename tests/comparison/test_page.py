"""The page read back: what it shows, what it escapes, and what it says first."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from keras_ddl.comparison.page import markdown, page, picture_file, protocol

VOID = {"meta", "br"}


class Read(HTMLParser):
    """The page's words, links and tags; every element that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.append(tag)
        self.links += [values["href"] or ""] if "href" in values else []
        assert not [name for name in values if name.startswith("on")]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def found(made_up: Any) -> dict[str, Any]:
    return made_up(
        {
            "xception": ("<b>Xception", 67.0, {"Celeb-DF-v2": 0.95, "<script>": 0.9}),
            "gff": ("GFF", 100.0, {"Celeb-DF-v2": "no <weights>"}),
            "ddl": ("DDL", 27.0, {"Celeb-DF-v2": 0.97}),
        }
    )


def test_every_set_has_its_table_and_its_picture_and_reports_are_linked(
    found: dict[str, Any],
) -> None:
    read = Read(page(found))
    assert read.tags.count("svg") == 2
    assert read.links == [
        "set0/xception/report.html",
        "set0/ddl/report.html",
        picture_file(found["datasets"][0]),
        *("set1/xception/report.html", picture_file(found["datasets"][1])),
    ]
    text = " ".join(read.words)
    for words in ("paper 0.9970", "0.9700", "no <weights>", "not yet", "3 of 20", "0.4321"):
        assert words in text
    assert "Not finished: 2 trainings are still to come" in text
    assert "script" not in read.tags and "b" in read.tags


def test_what_must_be_known_stands_first(found: dict[str, Any]) -> None:
    assert "generated" not in page(found)
    found["datasets"][0]["synthetic"] = True
    for cell in found["datasets"][0]["cells"].values():
        if cell.get("test"):
            cell["test"]["video"]["real"] = 7
    found["speed_error"] = "no <timer>"
    warned = re.findall(r'<p class="warning">(.*?)</p>', page(found))
    assert [words.split()[0] for words in warned] == ["Not", "These", "Few", "Speed"]
    assert "Celeb-DF-v2 (7 real, 80 fake)" in warned[2] and "&lt;timer&gt;" in warned[3]


def test_before_the_first_cell_there_is_a_page_too(made_up: Any) -> None:
    found = made_up({"ddl": ("DDL", None, {"mine": "x"})})
    found["datasets"][0]["cells"] = {}
    found["methods"][0]["config"] = None
    read = Read(page(found))
    assert "svg" not in read.tags and "nothing judged yet" in " ".join(read.words)
    assert "accuracy-cost" not in markdown(found)


def test_the_protocol_says_what_was_set_for_all(found: dict[str, Any]) -> None:
    assert "over their own settings: epochs=2." in " ".join(protocol(found))
    found["overrides"] = []
    assert "Nothing was set for all of them" in " ".join(protocol(found))


def test_settings_name_what_is_not_as_usual(found: dict[str, Any]) -> None:
    config = found["methods"][0]["config"]
    config |= {"frozen_epochs": 3, "twins": True, "modules": [], "size": 299, "weights": "imagenet"}
    text = " ".join(Read(page(found)).words)
    assert "8 of 299 px, 40 ms" in text and "20, 3 of the head alone" in text
    assert "modules=, twins=True" in text and "a paper & a half" in text


def test_markdown_has_tables_pictures_and_the_command(found: dict[str, Any]) -> None:
    text = markdown(found)
    assert text.count("![accuracy against cost]") == 2
    assert "| \\<b>Xception |" in text and "- GFF: no <weights>" in text
    assert text.endswith(
        "`python -m keras_ddl.compare --out <here>`, version 1.2.3, commit abc123\n"
    )
