"""The summary as one HTML file that opens from disk and asks nothing of the network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from deploy.judging.records import Record
from deploy.judging.verdict import Label
from deploy.scanning.file_record import JUDGED, SKIPPED
from keras_ddl.edge.pages import render

TEMPLATES = Path(__file__).parent / "templates"
LABELS = tuple(label.value for label in (Label.FAKE, Label.UNCERTAIN, Label.REAL, Label.NO_FACE))
WORDS = {"NO_FACE": "NO FACE"}
FAILED = "UNREADABLE"
ROWS = 5000  # of the page; more take a browser long to sort
PICTURES = 1000  # rows with a picture, from the top: some 8 MB
COLUMNS = (  # key to sort by, heading, first order
    ("", "Moment", ""),
    ("name", "File", "up"),
    ("verdict", "Verdict", "up"),
    ("score", "Mean score", "down"),
    ("worst", "Worst face", "down"),
    ("", "Score over time", ""),
    ("faces", "Faces", "down"),
    ("length", "Length", "down"),
)
WIDTH, HEIGHT, RIM = 192, 44, 4  # of the picture of scores over time, pixels
FEW = 24  # up to so many points are drawn as dots too
GAP = 3.0  # the line breaks where points are so many usual distances apart


@dataclass(frozen=True)
class Row:
    """Row of the table.

    Args:
        record: The file's.
        kind: Its verdict, or `FAILED`.
        keys: What it is sorted and filtered by.
        folder, name: Its path, in two.
        picture: The thumbnail as a `data:` address, "" where there is none.
        moment: Where in the file the thumbnail is, seconds; None where nowhere in particular.
        line: Scores over time, an SVG element.
    """

    record: Record
    kind: str
    keys: dict[str, Any]
    folder: str
    name: str
    picture: str
    moment: float | None
    line: str


def page(scan: dict[str, Any], seconds: float, read: Callable[[str], bytes | None]) -> str:
    """Return the whole page.

    Args:
        scan: What `scan.json` holds; of its files, in order, the first.
        seconds: How long the videos are together.
        read: Returns a thumbnail by its name; None where there is none.
    """
    files, totals = scan["files"], scan["totals"]
    failed = {name: n for name, n in totals.items() if name not in (*LABELS, SKIPPED)}
    tiles = [(label, totals.get(label, 0)) for label in LABELS]
    return render(
        TEMPLATES,
        "scan.html",
        script=(TEMPLATES / "scan.js").read_text(encoding="utf-8"),
        scan=scan,
        found=sum(n for name, n in totals.items() if name != SKIPPED),
        length=_length(seconds),
        tiles=[*tiles, (FAILED, sum(failed.values()))] if failed else tiles,
        words=WORDS,
        columns=COLUMNS,
        rows=[_row(number, record, scan, read) for number, record in enumerate(files)],
        sampled=sum(bool(record.get("sample")) for record in files),
        faces=_faces,
        count=_count,
        clock=_clock,
        origin=_origin(scan),
    )


def _row(
    number: int,
    record: Record,
    scan: dict[str, Any],
    read: Callable[[str], bytes | None],
) -> Row:
    kind = _kind(record)
    keys = {
        "order": number,
        "kind": kind,
        "name": record["path"].lower(),
        "verdict": (*LABELS, FAILED).index(kind),
        "score": _key(record.get("fake_probability")),
        "worst": _key((record.get("worst_face") or {}).get("fake_probability")),
        "faces": _key(record.get("faces")),
        "length": _key(record.get("seconds")),
    }
    over, _, name = record["path"].rpartition("/")
    moment = record.get("moment_ms")
    seconds = None if moment is None else moment / 1000.0
    share = None if seconds is None else seconds / max(record["seconds"], 1e-9)
    line = sparkline(record.get("timeline") or [], scan["thresholds"], share)
    picture = _picture(record, read) if number < PICTURES else ""
    return Row(record, kind, keys, over, name, picture, seconds, line)


def _kind(record: Record) -> str:
    return str(record["verdict"]) if record["status"] == JUDGED else FAILED


def _key(value: float | None) -> float:
    return -1.0 if value is None else value


def _picture(record: Record, read: Callable[[str], bytes | None]) -> str:
    """The thumbnail; none where somebody tidied up: the rest of the row stands."""
    picture = read(record["thumb"]) if record.get("thumb") else None
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}" if picture else ""


def _faces(record: Record) -> list[dict[str, Any]]:
    """The faces of a file, the most suspicious first."""
    tracks: Sequence[dict[str, Any]] = record.get("tracks") or ()
    return sorted(tracks, key=lambda facts: -_key(facts["fake_probability"]))


def _clock(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def _length(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def _origin(scan: dict[str, Any]) -> list[tuple[str, str]]:
    model, options = scan["model"], scan["options"]
    return [
        ("weights, SHA-256", model["weights_sha256"] or "not recorded"),
        ("model file, SHA-256", model["model_sha256"]),
        ("runtime", model["backend"]),
        ("program", scan["program"]),
        ("options", ", ".join(f"{name} {value}" for name, value in options.items())),
    ]


def sparkline(
    points: Sequence[Sequence[float]], thresholds: Mapping[str, float], moment: float | None
) -> str:
    """Return an SVG element; empty bands where there are no points.

    Args:
        points: [share of the length, score], both in [0, 1], in order.
        thresholds: `fake_from` and `real_to`.
        moment: Where the mark is, as a share of the length; None for no mark.
    """
    fake, real = _y(thresholds["fake_from"]), _y(thresholds["real_to"])
    parts = [
        f'<rect class="zone FAKE" width="{WIDTH}" height="{fake:.1f}"/>',
        f'<rect class="zone REAL" y="{real:.1f}" width="{WIDTH}" height="{HEIGHT - real:.1f}"/>',
    ]
    if moment is not None:
        x = _x(min(max(moment, 0.0), 1.0))
        parts.append(f'<path class="mark" d="M{x:.1f} 0V{HEIGHT}"/>')
    for run in _runs(points):
        path = "L".join(f"{_x(share):.1f} {_y(value):.1f}" for share, value in run)
        parts.append(f'<path class="scores" d="M{path}"/>')
    dots = points if len(points) <= FEW else [run[0] for run in _runs(points) if len(run) == 1]
    if dots:  # lines without length: their round ends do not stretch with the picture
        ends = "".join(f"M{_x(share):.1f} {_y(value):.1f}h0" for share, value in dots)
        parts.append(f'<path class="dots" d="{ends}"/>')
    scores = [value for _, value in points]
    words = f"scores from {min(scores):.2f} to {max(scores):.2f}" if scores else "no scores"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )


def _runs(points: Sequence[Sequence[float]]) -> list[list[Sequence[float]]]:
    """Points without a long gap between them: no line where there was no face."""
    if not points:
        return []
    distances = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    longest = GAP * median(distances) if distances else 0.0
    runs = [[points[0]]]
    for distance, point in zip(distances, points[1:], strict=True):
        if distance > longest:
            runs.append([])
        runs[-1].append(point)
    return runs


def _x(share: float) -> float:
    return RIM + share * (WIDTH - 2 * RIM)


def _y(value: float) -> float:
    return RIM + (1.0 - value) * (HEIGHT - 2 * RIM)
