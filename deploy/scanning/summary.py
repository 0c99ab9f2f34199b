"""`scan.csv`, `scan.json` and `scan.html`: what a scan came to."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.judging.records import Record
from deploy.scanning.file_record import JUDGED, SKIPPED
from deploy.scanning.page import LABELS, page
from keras_ddl.edge.files import printable, write_text
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


def ordered(records: Sequence[Record]) -> list[Record]:
    """The most suspicious first, then by name; what could not be judged last."""
    ranks = {label: rank for rank, label in enumerate(LABELS)}

    def place(record: Record) -> tuple[int, float, str]:
        score = record.get("fake_probability")
        rank = ranks.get(str(record["verdict"]), len(ranks))
        return rank, -1.0 if score is None else -score, printable(record["path"])

    return sorted((r for r in records if r["status"] != SKIPPED), key=place)


def totals(records: Sequence[Record]) -> dict[str, int]:
    """Files by verdict, and those that could not be judged by why."""
    counts = Counter(
        record["verdict"] if record["status"] == JUDGED else record["status"] for record in records
    )
    return {**{label: counts.pop(label, 0) for label in LABELS}, **counts}


def write_summary(out: Path, records: Sequence[Record], about: dict[str, Any]) -> None:
    """Write the three files, each whole or not at all.

    Args:
        out: Where to.
        records: One per file.
        about: Model, options, program, times.
    """
    files = [{**record, "path": printable(record["path"])} for record in ordered(records)]
    scan = {"schema": SCHEMA, **about, "totals": totals(records), "files": files}
    write_text(out / CSV, table(files))
    write_text(out / JSON, json.dumps(scan, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    write_text(out / HTML, page(scan, out))


def table(files: Sequence[Record]) -> str:
    """The CSV. A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    text = io.StringIO()
    rows = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    rows.writeheader()
    for record in files:
        worst = record.get("worst_face") or {}
        row = {
            **record,
            "places": (record.get("sample") or {}).get("places"),
            "worst_face": worst.get("track"),
            "worst_face_probability": worst.get("fake_probability"),
            "worst_face_verdict": worst.get("verdict"),
        }
        rows.writerow({name: spreadsheet_cell(row.get(name)) for name in COLUMNS})
    return text.getvalue()
