"""Tables of results as text, in the paper's form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from keras_ddl.evaluation.false_alarms import FalseAlarms
from keras_ddl.evaluation.localisation import LocalisationResult
from keras_ddl.evaluation.pairs import PairedResult
from keras_ddl.evaluation.probes import ProbeResult
from keras_ddl.evaluation.results import GroupResult, SetResult, SplitResult

BAR = "\\|"
NONE = "–"
COLUMNS = {"ACC": "accuracy", "AUC": "auc", "F1": "f1"}
SHORT = {
    "Deepfakes": "DF",
    "Face2Face": "F2F",
    "FaceSwap": "FS",
    "NeuralTextures": "NT",
    "FaceShifter": "FSh",
    "DeepFakeDetection": "DFD",
}
"""The paper's names of methods; any other keeps its own."""


def table(result: SplitResult | SetResult) -> str:
    """Return the results of a split as a readable table, by groups too where they are known."""
    lines = [
        f"{result.split} split, threshold {result.threshold:g}",
        f"{'level':<8}{'ACC':>8}{'AUC':>8}{'F1':>8}{'real':>8}{'fake':>8}",
    ]
    for level, row in (("clip", result.clip), ("video", result.video)):
        numbers = "".join(f"{_digits(row[name]):>8}" for name in COLUMNS.values())
        lines.append(f"{level:<8}{numbers}{row['real']:>8}{row['fake']:>8}")
    if isinstance(result, SetResult):
        lines += _details(result)
    without = [(why, count) for why, count in sorted(result.videos.items()) if why != "ok"]
    if without:
        listed = ", ".join(f"{count} {why}" for why, count in without)
        lines.append(f"videos without a score: {listed}")
    return "\n".join(lines)


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table in Markdown; a bar inside a cell would begin another one and is escaped."""
    head, *body = (
        f"| {' | '.join(str(cell).replace('|', BAR) for cell in row)} |" for row in (heads, *rows)
    )
    return "\n".join([head, "|---" * len(heads) + "|", *body])


def label(row: GroupResult) -> str:
    """Return what a row of `breakdown` is about: dataset, compression, method as far as named."""
    names = {**row.names, "method": SHORT.get(row.names.get("method", ""), row.names.get("method"))}
    return " ".join(name for name in names.values() if name)


def _digits(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def _details(result: SetResult) -> list[str]:
    ends = result.intervals["video"]
    listed = ", ".join(
        f"{short} {ends[name][0]:.4f} to {ends[name][1]:.4f}"
        for short, name in COLUMNS.items()
        if name in ends
    )
    lines = [f"95% of videos resampled: {listed}"]
    if undefined := result.undefined():
        called = result.confusion["true_fake"] + result.confusion["false_fake"]
        lines.append(f"{NONE} {undefined}")
        lines.append(
            f"videos called fake: {called} of {result.video['real'] + result.video['fake']}"
        )
    for kind, rows in result.groups().items():
        if len(rows) > 1:
            lines += _rows(kind, rows)
    return (
        lines
        + _false_alarms(result.false_alarms)
        + _pairs(result.pairs)
        + _probes(result.probes)
        + _pointing(result.pointing())
    )


def _shares(title: str, rows: Iterable[tuple[str, float, float, float, str]]) -> list[str]:
    """A title and a line per row: name or "all", share, its interval, and of how many."""
    shown = [(name or "all", share, low, high, of) for name, share, low, high, of in rows]
    wide = max((len(name) for name, *_ in shown), default=0) + 2
    lines = [
        f"  {name:<{wide}}{share:.2f} ({low:.2f} to {high:.2f}){of}"
        for name, share, low, high, of in shown
    ]
    return [title, *lines] if lines else []


def _false_alarms(rows: Sequence[FalseAlarms]) -> list[str]:
    return _shares(
        "reals called fake at the threshold:",
        (
            (row.source, row.rate, row.low, row.high, f", {row.called} of {row.reals}")
            for row in rows
        ),
    )


def _pairs(rows: Sequence[PairedResult]) -> list[str]:
    return _shares(
        "fakes that score higher than their own originals:",
        ((row.method, row.accuracy, row.low, row.high, f" of {row.pairs} pairs") for row in rows),
    )


def _probes(rows: Sequence[ProbeResult]) -> list[str]:
    if not rows:
        return []
    lines = [f"AUC of changed against untouched reals, {rows[0].clips} clips; 0.5 is right:"]
    wide = max(len(row.name) for row in rows) + 2
    for row in rows:
        called = f"  clips called fake {calls}" if (calls := row.calls()) else ""
        warning = "  taken for a forgery" if row.fooled else ""
        lines.append(f"  {row.name:<{wide}}{row.auc:.2f}{called}{warning}")
    return lines


def _pointing(maps: Mapping[str, LocalisationResult]) -> list[str]:
    return [
        f"{name} on {found.clips} pseudo-fakes: brightest inside the forgery {found.pointing:.2f} "
        f"({found.low:.2f} to {found.high:.2f}), {found.compared()}; pixel AUC "
        f"{found.pixel_auc:.2f}; brighter than on the real twin {found.contrast:.2f}"
        for name, found in maps.items()
    ]


def _rows(kind: str, rows: Sequence[GroupResult]) -> list[str]:
    wide = max(len(label(row)) for row in rows) + 2
    lines = [f"videos by {kind[:-1]}:"]
    for row in rows:
        if row.video is None:
            lines.append(f"  {label(row):<{wide}}{row.missing}")
            continue
        numbers = "  ".join(f"{short} {row.video[name]:.4f}" for short, name in COLUMNS.items())
        lines.append(f"  {label(row):<{wide}}{numbers}")
    return lines
