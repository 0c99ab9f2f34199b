"""`beside`: what the ablation and the comparison found on the data that a run is tested on."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from keras_ddl.comparison.ablation_section import ablation_section
from keras_ddl.comparison.page import dataset_table
from keras_ddl.edge.files import read_json

ABLATION = Path("ablation/ablation.json")
COMPARISON = Path("compare/comparison.json")


def beside(run: Path, datasets: Iterable[str]) -> tuple[str, ...]:
    """Read what lies in the folder of runs; a run of a comparison finds the one it is part of.

    Args:
        run: The run folder.
        datasets: What it is tested on, as the keys of videos name them.

    Returns:
        Sections for the report, as HTML; none where nothing was found on these data.
    """
    known = set(datasets)
    found = (_ablation(run.parent / ABLATION, known), _comparison(_of(run), known))
    return tuple(section for section in found if section)


def _of(run: Path) -> Path:
    own = run.parent.parent / COMPARISON.name
    return own if own.is_file() else run.parent / COMPARISON


def _ablation(file: Path, known: set[str]) -> str:
    if not file.is_file():
        return ""
    found = read_json(file)
    cells = [cell for cell in found["cells"] if known & set(cell["datasets"])]
    return ablation_section({**found, "cells": cells}) if cells else ""


def _comparison(file: Path, known: set[str]) -> str:
    if not file.is_file():
        return ""
    found: dict[str, Any] = read_json(file)
    tables = [
        f"<h3>{escape(dataset['title'])}</h3>{dataset_table(found, dataset)}"
        for dataset in found["datasets"]
        if known & set(dataset["title"].split(", "))
        and any(cell.get("test") for cell in dataset["cells"].values())
    ]
    if not tables:
        return ""
    return (
        "<section><h2>Beside other methods</h2>"
        '<p class="soft">By <code>python -m keras_ddl.compare</code>: trained and judged under one '
        "protocol, which stands with the settings and a picture in "
        f"<code>{escape(str(file.parent / 'comparison.html'))}</code>. "
        f"Best of each column in bold.</p>{''.join(tables)}</section>"
    )
