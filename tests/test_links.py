"""Links between documents: each leads to a file that is there, and to a heading where it says one.

Addresses on the network are not asked for. The last test plants dead links.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("docs/*.ipynb")])
CODE = re.compile(r"^(`{3,}|~{3,}).*?^\1|`[^`\n]*`", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|^\[[^\]]+\]:\s*(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def text_of(document: Path) -> str:
    text = document.read_text(encoding="utf-8")
    if document.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def anchors(text: str) -> set[str]:
    """The names under which GitHub shows the headings of a document."""
    found: set[str] = set()
    for heading in HEADING.findall(FENCED.sub("", text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)  # of a link, its text
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = next(n for n in range(1000) if (f"{name}-{n}" if n else name) not in found)
        found.add(f"{name}-{number}" if number else name)
    return found


def dead(document: Path) -> Iterator[str]:
    """Links of a document that lead nowhere."""
    for match in LINK.finditer(CODE.sub("", text_of(document))):
        link = match[1] or match[2]
        if ELSEWHERE.match(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = document.parent / path if path else document
        if not target.exists():
            yield link
        elif (
            anchor and target.suffix in (".md", ".ipynb") and anchor not in anchors(text_of(target))
        ):
            yield link


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    assert list(dead(document)) == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached or document.suffix not in (".md", ".ipynb"):
            continue
        reached.add(document)
        for match in LINK.finditer(CODE.sub("", text_of(document))):
            link = (match[1] or match[2]).partition("#")[0]
            if link and not ELSEWHERE.match(link):
                waiting.append((document.parent / link).resolve())
    pages = {path for path in DOCUMENTS if path.parent.name == "docs"}
    assert sorted(path.name for path in pages - reached) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](other.md), [b](other.md#two-words) and [c](#own)", []),
        ("[a](nothing.md)", ["nothing.md"]),
        ("[a](other.md#three-words)", ["other.md#three-words"]),
        ("[a](#nobody)", ["#nobody"]),
        ("[a](other.md#two-words-1 'the second')", []),
        ("[a](other.md#in-code)", ["other.md#in-code"]),
        ("`[a](nothing.md)` and [b](https://nowhere.example/x.md)", []),
        ("see [a]\n\n[a]: nothing.md", ["nothing.md"]),
    ],
)
def test_a_dead_link_is_found(text: str, expected: list[str], tmp_path: Path) -> None:
    other = "# Two, `words`\n\n```\n# in code\n```\n\n## Two words\n"
    (tmp_path / "other.md").write_text(other, encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(f"# Own\n\n{text}\n", encoding="utf-8")
    assert list(dead(page)) == expected
