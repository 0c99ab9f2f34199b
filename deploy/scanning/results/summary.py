"""`scan.csv`, `scan.json` and `scan.html`: what a scan came to."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, Any

from deploy.judging.records import Record
from deploy.scanning.results.page import ROWS, page
from deploy.scanning.results.place import Results
from keras_ddl.edge.files import printable
from keras_ddl.edge.values import spreadsheet_cell

SCHEMA = 1
CSV, JSON, HTML = "scan.csv", "scan.json", "scan.html"
COLUMNS = (
    "path",
    "status",
    "verdict",
    "fake_probability",
    "reason",
    "worst_face",
    "worst_face_probability",
    "worst_face_verdict",
    "fake_events",
    "moment_ms",
    "faces",
    "clips",
    "frames",
    "seconds",
    "places",
    "size",
    "sha256",
    "records",
)


def write_summary(
    results: Results,
    records: Iterable[Record],
    totals: Mapping[str, int],
    about: dict[str, Any],
) -> None:
    """Write the three files, each whole or not at all; one record is in memory at a time.

    The page has the first `ROWS` files alone.

    Args:
        results: Where to.
        records: One per file, in order.
        totals: Files by verdict, and those that could not be judged by why.
        about: Model, options, program, times.
    """
    scan = {"schema": SCHEMA, **about, "totals": dict(totals)}
    first: list[Record] = []
    seconds = 0.0
    with (
        results.writing(CSV) as csv_path,
        results.writing(JSON) as json_path,
        _text(csv_path) as as_table,
        _text(json_path) as as_json,
    ):
        rows = table_writer(as_table)
        as_json.write(json.dumps(scan, indent=1, ensure_ascii=False, allow_nan=False)[:-2])
        as_json.write(',\n "files": [')
        for number, record in enumerate(records):
            record = {**record, "path": printable(record["path"])}
            rows.writerow(table_row(record))
            text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
            as_json.write(",\n  " if number else "\n  ")
            as_json.write(text.replace("\n", "\n  "))
            seconds += record.get("seconds") or 0.0
            if number < ROWS:
                first.append(record)
        as_json.write("\n ]\n}\n" if first else "]\n}\n")
    html = page({**scan, "files": first}, seconds, results.read)
    with results.writing(HTML) as html_path:
        html_path.write_text(html, encoding="utf-8", errors="backslashreplace")


def table_writer(file: IO[str]) -> csv.DictWriter[str]:
    """Begin the CSV."""
    rows = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    return rows


def table_row(record: Record) -> dict[str, Any]:
    """A row of the CSV. A text that a spreadsheet would take for a formula begins with '."""
    worst = record.get("worst_face") or {}
    row = {
        **record,
        "places": (record.get("sample") or {}).get("places"),
        "worst_face": worst.get("track"),
        "worst_face_probability": worst.get("fake_probability"),
        "worst_face_verdict": worst.get("verdict"),
    }
    return {name: spreadsheet_cell(row.get(name)) for name in COLUMNS}


def _text(path: Path) -> IO[str]:
    """Open a file to write; a name that is no UTF-8 becomes an escape."""
    return path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
