"""The report's tables as HTML: every number is one of `test.json`, to four digits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from keras_ddl.evaluation.tables import COLUMNS, SHORT, label
from keras_ddl.report.paper import paper_rows

WIDE = COLUMNS | {
    "precision": "precision",
    "recall": "recall",
    "EER": "eer",
    "AP": "average_precision",
    "TPR at 1% FPR": "tpr_at_1pct_fpr",
    "TPR at 0.1% FPR": "tpr_at_0.1pct_fpr",
}
LEVELS = {"clip": "clips", "video": "videos (mean)"}
VARIANTS = {**LEVELS, "video_median": "videos (median)", "video_topk": "videos (mean of top 3)"}
NONE = "–"


def main_table(parts: Sequence[dict[str, Any]]) -> str:
    """ACC, AUC and F1 with intervals at both levels.

    The paper's own method stands below where the network was trained on the same dataset.
    """
    groups = {}
    for part in parts:
        rows = []
        for level, words in LEVELS.items():
            found, intervals = part[level], part["intervals"][level]
            numbers = [number(found[name], intervals[name]) for name in COLUMNS.values()]
            rows.append([words, *numbers, str(found["real"]), str(found["fake"])])
        for row in paper_rows(part["name"])[-1:] if part["trained_on"] else []:
            for words, values in (("frames", row.clip), ("videos", row.video)):
                if any(value is not None for value in values):
                    about = f"{escape(row.method)}, the paper: {words}"
                    rows.append([about, *map(number, values), NONE, NONE])
        groups[part["name"]] = rows
    return rendered("results", ["level", *COLUMNS, "real", "fake"], groups)


def every_number(parts: Sequence[dict[str, Any]]) -> str:
    """Every number of `metrics.report`, and the other ways to make a video's score."""
    groups = {
        part["name"]: [
            [words, *(number(part[level][name]) for name in WIDE.values())]
            for level, words in VARIANTS.items()
        ]
        for part in parts
    }
    return rendered("numbers", ["level", *WIDE], groups)


def method_table(part: dict[str, Any]) -> str:
    """Methods side by side as in the paper, each against the reals of its compression."""
    methods = list(dict.fromkeys(row["method"] for row in part["methods"]))
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in part["methods"]:
        place = f"{row['dataset']} {row['compression']}".strip()
        found.setdefault(place, {})[row["method"]] = row
    groups = {
        place: [
            [short, *(_cell(cells.get(method), COLUMNS[short]) for method in methods)]
            for short in ("ACC", "AUC")
        ]
        for place, cells in found.items()
    }
    return rendered("methods", ["videos", *(SHORT.get(name, name) for name in methods)], groups)


def group_table(kind: str, parts: Sequence[dict[str, Any]]) -> str:
    """Rows of one kind of group, videos; empty where no set has more than one."""
    rows = [row for part in parts if len(part[kind]) > 1 for row in part[kind]]
    lines = [[escape(label(row)), *(_cell(row, name) for name in COLUMNS.values())] for row in rows]
    return rendered(kind, [kind[:-1], *COLUMNS], {"": lines}) if lines else ""


def paper_table(dataset: str) -> str:
    """All that the paper prints for a dataset; empty where it prints nothing."""
    rows = [
        [escape(row.method), *map(number, row.clip), *map(number, row.video)]
        for row in paper_rows(dataset)
    ]
    heads = [f"{level} {short}" for level in ("frame", "video") for short in COLUMNS]
    return rendered("paper", ["method", *heads], {"": rows}) if rows else ""


def confusion_table(part: dict[str, Any]) -> str:
    """Videos by truth and verdict."""
    table = part["confusion"]
    rows = [
        ["real", str(table["true_real"]), str(table["false_fake"])],
        ["fake", str(table["false_real"]), str(table["true_fake"])],
    ]
    return rendered("confusion", ["videos", "called real", "called fake"], {"": rows})


def number(value: float | None, interval: Sequence[float] | None = None) -> str:
    """A number to four digits, with its interval in small print."""
    if value is None:
        return NONE
    small = "" if interval is None else f"<small>{interval[0]:.4f} to {interval[1]:.4f}</small>"
    return f"{value:.4f}{small}"


def rendered(name: str, heads: Sequence[str], groups: Mapping[str, Iterable[Sequence[str]]]) -> str:
    """An HTML table in a box that scrolls sideways.

    Args:
        name: Its class.
        heads: Words of the head, plain text.
        groups: By their heading (plain text; "" for none) the rows, whose cells are HTML. The first
            cell names the row.
    """
    head = "".join(f'<th scope="col">{escape(word)}</th>' for word in heads)
    body = ""
    for heading, rows in groups.items():
        lines = "".join(
            f'<tr><th scope="row">{row[0]}</th>'
            + "".join(f"<td>{cell}</td>" for cell in row[1:])
            + "</tr>"
            for row in rows
        )
        title = f'<th colspan="{len(heads)}" scope="rowgroup"><span>{escape(heading)}</span></th>'
        body += f"<tbody>{f'<tr>{title}</tr>' if heading else ''}{lines}</tbody>"
    return (
        f'<div class="scroll"><table class="{name}"><thead><tr>{head}</tr></thead>'
        f"{body}</table></div>"
    )


def _cell(row: dict[str, Any] | None, name: str) -> str:
    if row is None:
        return NONE
    if row["missing"]:
        return f'<span title="{escape(row["missing"])}">{NONE}</span>'
    return number(row["video"][name], row["intervals"]["video"][name])
