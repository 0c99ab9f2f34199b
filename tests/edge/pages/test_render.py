"""The shell of all pages: what is escaped, what a page may load, and tables."""

from __future__ import annotations

import base64
import hashlib
import sys
from pathlib import Path

import pytest

jinja2 = pytest.importorskip("jinja2")

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.pages import Cell, Small, Table, render
from keras_ddl.edge.pages.render import _environment

PAGE = (
    '{% extends "base.html" %}{% block title %}{{ name }}{% endblock %}'
    "{% block main %}<p>{{ name }}</p>{{ svg | safe }}{% endblock %}"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(PAGE, encoding="utf-8")
    return tmp_path


def test_text_is_escaped_and_what_is_marked_is_not(folder: Path) -> None:
    page = render(folder, "page.html", name="<b>&\"'", svg="<svg></svg>")
    assert "<title>&lt;b&gt;&amp;&#34;&#39;</title>" in page
    assert "<p>&lt;b&gt;&amp;&#34;&#39;</p><svg></svg>" in page


def test_a_page_loads_nothing_and_runs_its_own_script_alone(folder: Path) -> None:
    plain = render(folder, "page.html", name="", svg="")
    assert "default-src 'none'" in plain and "script" not in plain
    script = 'const a = 1 < 2 && "{{ a }}";\n'
    page = render(folder, "page.html", script, name="", svg="")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page
    assert page.count(f"<script>{script}</script>") == 1


def test_a_value_that_nobody_gave_is_an_error(folder: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="svg"):
        render(folder, "page.html", name="")


def test_without_jinja_the_remedy_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _environment.cache_clear()
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r"an HTML page needs jinja2 .*pip install") as caught:
        render(folder, "page.html", name="", svg="")
    assert caught.value.exit_code == MISSING


def test_cells_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "table.html").write_text(
        '{% from "macros.html" import table_box -%}{{ table_box(table) -}}'
    )
    cells = [
        "<plain>",
        Cell("0.5", [Small("0.4 to <1"), Small("paper", "paper")], "best"),
        Cell("–", title='no "reals"'),
        Cell("<run>", href="a&b/report.html"),
    ]
    table = Table("t", ["name", "<a>", "b", "c"], {"": [cells], "<group>": [["x"]]})
    html = render(tmp_path, "table.html", table=table)
    assert html == (
        '<div class="scroll"><table class="t"><thead><tr><th scope="col">name</th>'
        '<th scope="col">&lt;a&gt;</th><th scope="col">b</th><th scope="col">c</th></tr></thead>'
        '<tbody><tr><th scope="row">&lt;plain&gt;</th>'
        '<td><span class="best">0.5</span><small>0.4 to &lt;1</small>'
        '<small class="paper">paper</small></td>'
        '<td><span title="no &#34;reals&#34;">–</span></td>'
        '<td><a href="a&amp;b/report.html">&lt;run&gt;</a></td></tr></tbody>'
        '<tbody><tr><th colspan="4" scope="rowgroup"><span>&lt;group&gt;</span></th></tr>'
        '<tr><th scope="row">x</th></tr></tbody></table></div>'
    )
