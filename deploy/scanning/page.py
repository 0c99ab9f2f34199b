"""`page`: the summary as one HTML file that opens from disk and asks nothing of the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from deploy.judging.records import Record
from deploy.judging.verdict import Label
from deploy.scanning.judge import JUDGED
from deploy.scanning.looks import SCRIPT, STYLE
from deploy.scanning.sparkline import sparkline

LABELS = tuple(label.value for label in (Label.FAKE, Label.UNCERTAIN, Label.REAL, Label.NO_FACE))
WORDS = {"NO_FACE": "NO FACE"}
FAILED = "UNREADABLE"
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


def page(scan: dict[str, Any], folder: Path) -> str:
    """Return the whole page.

    Args:
        scan: What `scan.json` holds, files in order.
        folder: Where their thumbnails are.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    body = "\n".join((_top(scan), _controls(scan), _table(scan, folder), _foot(scan)))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>Scan of {len(scan['files'])} files</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _top(scan: dict[str, Any]) -> str:
    model, limits = scan["model"], scan["thresholds"]
    seconds = sum(record.get("seconds") or 0.0 for record in scan["files"])
    lines = [
        f"<header><h1>{_count(len(scan['files']), 'file')}, {_length(seconds)} of video</h1>",
        f'<p class="soft">Model <code>{escape(model["id"])}</code> · trained on '
        f"{escape(model['domain'])} · FAKE from {limits['fake_from']:.2f}, REAL to "
        f"{limits['real_to']:.2f} · faces by {escape(scan['options']['detector'])} · finished "
        f"{escape(scan['finished'][:16].replace('T', ' '))} UTC</p></header>",
    ]
    if scan["abstain"]:
        lines.append(
            f'<p class="warning"><strong>No file gets a verdict:</strong> '
            f"{escape(scan['abstain'])}. Scores are shown, and say nothing about these files.</p>"
        )
    if scan["left"]:
        lines.append(
            f'<p class="warning"><strong>Not finished:</strong> {_count(scan["left"], "file")} '
            "not judged yet. The same command goes on.</p>"
        )
    return "".join(lines)


def _controls(scan: dict[str, Any]) -> str:
    """Tiles that count, and filter where scripts run."""
    kinds = [_kind(record) for record in scan["files"]]
    tiles = "".join(
        f'<button type="button" class="tile {kind}" data-show="{kind}" aria-pressed="true">'
        f"<b>{kinds.count(kind)}</b><span>{WORDS.get(kind, kind)}</span></button>"
        for kind in (*LABELS, FAILED)
        if kind in LABELS or kind in kinds
    )
    options = "".join(
        f'<option value="{key}">{escape(words)}</option>' for key, words, _ in COLUMNS if key
    )
    return (
        f'<div class="tiles" role="group" aria-label="Filter by verdict">{tiles}</div>'
        '<div class="tools needs-script"><label>Find <input type="search" id="find" '
        'placeholder="part of a name"></label>'
        f'<label class="phone">Sort by <select id="sort"><option value="">most suspicious</option>'
        f'{options}</select></label><span id="shown" role="status"></span></div>'
    )


def _table(scan: dict[str, Any], folder: Path) -> str:
    heads = "".join(
        f'<th scope="col"><button type="button" data-key="{key}" data-first="{first}">'
        f"{escape(words)}</button></th>"
        if key
        else f'<th scope="col"><span>{escape(words)}</span></th>'
        for key, words, first in COLUMNS
    )
    rows = "\n".join(
        _row(number, record, scan, folder) for number, record in enumerate(scan["files"])
    )
    return (
        f'<table id="files"><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>'
        '<p id="none" class="soft" hidden>No file matches.</p>'
    )


def _row(number: int, record: Record, scan: dict[str, Any], folder: Path) -> str:
    kind = _kind(record)
    score, worst = record.get("fake_probability"), record.get("worst_face") or {}
    keys = {
        "order": number,
        "kind": kind,
        "name": record["path"].lower(),
        "verdict": (*LABELS, FAILED).index(kind),
        "score": _key(score),
        "worst": _key(worst.get("fake_probability")),
        "faces": _key(record.get("faces")),
        "length": _key(record.get("seconds")),
    }
    data = " ".join(f'data-{name}="{escape(str(value))}"' for name, value in keys.items())
    over, _, name = record["path"].rpartition("/")
    moment = record.get("moment_ms")
    at = "" if moment is None or record["still"] else f"<small>at {_clock(moment / 1000.0)}</small>"
    picture = _picture(record, folder) if number < PICTURES else _picture({}, folder)
    line = sparkline(
        record.get("timeline") or [],
        scan["thresholds"],
        None if moment is None else moment / 1000.0 / max(record["seconds"], 1e-9),
    )
    return (
        f'<tr class="{kind}" {data}><td class="picture">{picture}{at}</td>'
        f'<th scope="row"><span class="name">{escape(name)}</span>'
        f'<span class="soft over">{escape(over)}</span>{_details(record)}</th>'
        f'<td class="verdict"><span class="chip {kind}">{WORDS.get(kind, kind)}</span>'
        f'<small class="why">{escape(record["reason"])}</small>{_contrast(record, kind)}</td>'
        f'<td class="number" data-head="Mean score">{_score(score)}</td>'
        f'<td class="number" data-head="Worst face">{_score(worst.get("fake_probability"))}'
        f"{_face(worst)}</td>"
        f'<td class="line">{line}</td>'
        f'<td class="number" data-head="Faces">{_plain(record.get("faces"))}</td>'
        f'<td class="number" data-head="Length">{_seconds(record)}</td></tr>'
    )


def _kind(record: Record) -> str:
    return str(record["verdict"]) if record["status"] == JUDGED else FAILED


def _key(value: float | None) -> float:
    return -1.0 if value is None else value


def _score(value: float | None) -> str:
    if value is None:
        return '<span class="soft">–</span>'
    return (
        f'<span class="score">{value:.3f}</span><span class="bar" aria-hidden="true">'
        f'<i style="width:{100 * value:.1f}%"></i></span>'
    )


def _three(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


def _face(worst: dict[str, Any]) -> str:
    if not worst:
        return ""
    return f"<small>face {worst['track']}: {escape(str(worst['verdict']))}</small>"


def _contrast(record: Record, kind: str) -> str:
    """What the mean over all faces hides: one of them was called FAKE."""
    if kind == Label.FAKE.value or not record.get("fake_events"):
        return ""
    return f'<small class="alert">FAKE for a while: {_count(record["fake_events"], "time")}</small>'


def _picture(record: Record, folder: Path) -> str:
    name = record.get("thumb")
    if not name:
        return '<span class="blank" aria-hidden="true">?</span>'
    try:
        data = (folder / name).read_bytes()
    except FileNotFoundError:  # somebody tidied up: the rest of the row stands
        return '<span class="blank" aria-hidden="true">?</span>'
    text = base64.b64encode(data).decode()
    words = "most suspicious moment" if record.get("moment_ms") is not None else "first frame"
    return f'<img src="data:image/jpeg;base64,{text}" alt="{words}" loading="lazy">'


def _details(record: Record) -> str:
    rows = [
        ("SHA-256", f"<code>{escape(record['sha256'] or 'not computed')}</code>"),
        ("size", f"{record['size']:,} bytes"),
    ]
    if record["status"] == JUDGED:
        rows += [
            ("frames, clips", f"{record['frames']:,}, {record['clips']:,}"),
            ("judged", f"{escape(record['judged_at'])}, in {record['elapsed_s']:.1f} s"),
            ("every record", f"<code>{escape(record['records'])}</code>"),
        ]
    rows += [("note", escape(note)) for note in record["notes"]]
    listed = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in rows)
    return f"<details><summary>Details</summary><dl>{listed}</dl>{_faces(record)}</details>"


def _faces(record: Record) -> str:
    tracks: Sequence[dict[str, Any]] = record.get("tracks") or ()
    if not tracks:
        return ""
    rows = "".join(
        f"<li>face {facts['track']}: {escape(str(facts['verdict']))}, "
        f"score {_three(facts['fake_probability'])}, {_count(facts['clips'], 'clip')} "
        f"({escape(facts['reason'])})</li>"
        for facts in sorted(tracks, key=lambda facts: -_key(facts["fake_probability"]))
    )
    return f"<ul>{rows}</ul>"


def _plain(value: int | None) -> str:
    return '<span class="soft">–</span>' if value is None else f"{value}"


def _seconds(record: Record) -> str:
    if record.get("still"):
        return "picture"
    seconds = record.get("seconds")
    return '<span class="soft">–</span>' if seconds is None else _clock(seconds)


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


def _foot(scan: dict[str, Any]) -> str:
    model, options = scan["model"], scan["options"]
    rows = [
        ("weights, SHA-256", model["weights_sha256"] or "not recorded"),
        ("model file, SHA-256", model["model_sha256"]),
        ("runtime", model["backend"]),
        ("program", scan["program"]),
        ("options", ", ".join(f"{name} {value}" for name, value in options.items())),
    ]
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(str(value))}</code></dd>" for name, value in rows
    )
    return (
        "<footer><h2>How to read this</h2><p>A file's verdict rests on the <b>mean score</b> over "
        "all clips of all faces, the number the model's threshold was chosen on. The <b>worst "
        "face</b> is the one with the highest mean, which that mean can hide. UNCERTAIN is said "
        "between the thresholds and wherever a face cannot be judged; the reason stands below it. "
        "The line is the highest smoothed score over time, the two tinted bands are where FAKE "
        "and REAL are said, the picture is the moment under the mark. A score is evidence of how "
        f"this model sees a file, not proof.</p><h2>Who says so</h2><dl>{listed}</dl></footer>"
    )
