"""The paper's table as data, and as Markdown: a row per method, a number per column."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.evaluation.tables import COLUMNS
from keras_ddl.report.paper import PaperRow, paper_rows

LEVELS = ("clip", "video")
COSTS: dict[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("parameters", lambda value: _counted(value)),
    "gmac": ("GMAC/clip", lambda value: _short(value)),
    "clips_per_second": ("clips/s", lambda value: _short(value)),
}
LESS_IS_BETTER = ("parameters", "GMAC/clip")
SCORES = [f"{level} {short}" for level in LEVELS for short in COLUMNS]
HEADS = (*SCORES, *(head for head, _ in COSTS.values()))
NONE = "–"
NOT_YET = "not yet"
SETTINGS_HEADS = (
    "method",
    "looks at frames",
    "clip",
    "starts from",
    "learning rate",
    "batch",
    "epochs",
    "seed",
    "other settings",
)
SHOWN = (
    "preset",
    "network",
    "frames",
    "size",
    "interval_ms",
    "weights",
    "learning_rate",
    "batch",
    "epochs",
    "frozen_epochs",
    "seed",
    "synthetic_videos",
    "synthetic_difficulty",
    "synthetic_seed",
)
"""Settings that have a column, or say what is trained on what."""


@dataclass(frozen=True)
class Number:
    """A number of the table, as it is shown.

    Args:
        text: The number, or a dash.
        interval: The two ends of what holds 95 % of the resamples; empty where there is none.
        paper: What the paper prints here; empty where it prints nothing.
        value: What is compared within a column; None where there is no number.
        best: Whether none of the column is better.
    """

    text: str
    interval: str
    paper: str
    value: float | None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """A method on one dataset.

    Args:
        method: Its entry in the comparison.
        cell: Its entry in the dataset.
        state: Empty where there is a result; else why there is none, in a word or two.
        numbers: One per head.
    """

    method: dict[str, Any]
    cell: dict[str, Any]
    state: str
    numbers: tuple[Number, ...]


def rows(comparison: dict[str, Any], dataset: dict[str, Any]) -> list[Row]:
    """Return the table of a dataset, a row per method in the comparison's order."""
    paper = paper_rows(dataset["title"])
    found = []
    for method in comparison["methods"]:
        cell = dataset["cells"].get(method["name"], {})
        numbers = (*_scores(cell.get("test"), _paper_row(method, paper)), *_costs(method))
        state = "" if cell.get("test") else ("failed" if cell.get("error") else NOT_YET)
        found.append(Row(method, cell, state, numbers))
    columns = zip(*(row.numbers for row in found), strict=True)
    marked = [_with_best(head, column) for head, column in zip(HEADS, columns, strict=True)]
    return [
        replace(row, numbers=numbers)
        for row, numbers in zip(found, zip(*marked, strict=True), strict=True)
    ]


def remarks(comparison: dict[str, Any], dataset: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (method, line) for what a reader of the table must know: failures and lacks."""
    for method in comparison["methods"]:
        cell = dataset["cells"].get(method["name"], {})
        lines = [cell.get("error"), cell.get("export_error"), method.get("cost_error")]
        yield from ((method["title"], line) for line in lines if line)


def paper_note(title: str) -> str:
    """Say what the paper prints for a dataset, in a sentence."""
    printed = paper_rows(title)
    if not printed:
        return (
            f"The paper prints no numbers for {title}, so none stand beside these; it has tables "
            "for Celeb-DF, DFDC and FaceForensics++."
        )
    if all(value is None for row in printed for value in row.clip):
        return (
            f"Beside ours, where there are any, the paper's numbers: for {title} it prints ACC and "
            "AUC of videos, and of its two backbones and its own method alone."
        )
    return (
        "Beside ours the paper's numbers, as printed: its authors' weights and choice of videos "
        "may differ from these."
    )


def few(comparison: dict[str, Any], least: int) -> list[str]:
    """Return datasets with fewer test videos of a class than `least`, with their counts."""
    found = []
    for dataset in comparison["datasets"]:
        tests = [cell["test"] for cell in dataset["cells"].values() if cell.get("test")]
        if tests:
            real, fake = (min(test["video"][kind] for test in tests) for kind in ("real", "fake"))
            if min(real, fake) < least:
                found.append(f"{dataset['title']} ({real} real, {fake} fake)")
    return found


def markdown(comparison: dict[str, Any], dataset: dict[str, Any]) -> str:
    """Return a dataset's table in Markdown; the best of each column is bold."""
    lines = [
        f"| method | {' | '.join(HEADS)} |",
        f"|---{'|---:' * len(HEADS)}|",
    ]
    for row in rows(comparison, dataset):
        name = row.method["title"] + (f" ({row.state})" if row.state else "")
        cells = " | ".join(map(_marked, row.numbers))
        lines.append(f"| {cell_text(name)} | {cells} |")
    return "\n".join(lines)


def settings_rows(comparison: dict[str, Any]) -> list[list[str]]:
    """Return what the trainings were set to, a line of plain text per method."""
    lines = []
    for method in comparison["methods"]:
        config = method["config"]
        if not config:
            lines.append([method["title"], *[NONE] * (len(SETTINGS_HEADS) - 1)])
            continue
        resting = config["frozen_epochs"]
        head_only = f", {resting} of the head alone" if resting else ""
        lines.append(
            [
                method["title"],
                "together" if method["temporal"] else "one by one",
                f"{config['frames']} of {config['size']} px, {config['interval_ms']:g} ms",
                config["weights"] or "nothing",
                f"{config['learning_rate']:g}",
                str(config["batch"]),
                f"{config['epochs']}{head_only}",
                str(config["seed"]),
                _unusual(config),
            ]
        )
    return lines


def summary(comparison: dict[str, Any]) -> str:
    """Return what a terminal shows at the end: videos and costs, a block per dataset."""
    lines = []
    for dataset in comparison["datasets"]:
        lines.append(f"{dataset['title']}, test videos:")
        lines.append(f"  {'':<18}" + "".join(f"{head:>12}" for head in HEADS[3:]))
        for row in rows(comparison, dataset):
            numbers = "".join(f"{number.text:>12}" for number in row.numbers[3:])
            lines.append(f"  {row.method['title']:<18}{numbers}  {row.state}".rstrip())
    return "\n".join(lines)


def cell_text(text: str) -> str:
    """Return plain text so that it is plain text in a Markdown table."""
    for sign in "\\|<*_`[":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _marked(number: Number) -> str:
    shown = f"**{number.text}**" if number.best else number.text
    shown += f" ({number.interval})" if number.interval else ""
    return shown + (f"<br>paper {number.paper}" if number.paper else "")


def _scores(test: dict[str, Any] | None, paper: PaperRow | None) -> Iterator[Number]:
    for level in LEVELS:
        printed = getattr(paper, level) if paper else (None,) * len(COLUMNS)
        for name, theirs in zip(COLUMNS.values(), printed, strict=True):
            beside = "" if theirs is None else f"{theirs:.4f}"
            if test is None:
                yield Number(NONE, "", beside, None)
            else:
                value, (low, high) = test[level][name], test["intervals"][level][name]
                yield Number(f"{value:.4f}", f"{low:.4f} to {high:.4f}", beside, value)


def _costs(method: dict[str, Any]) -> Iterator[Number]:
    for name, (_, shown) in COSTS.items():
        value = method.get(name)
        yield Number(NONE if value is None else shown(value), "", "", value)


def _with_best(head: str, column: Sequence[Number]) -> list[Number]:
    """Mark the best number of a column and all that are shown like it; a lone one is not marked."""
    values = [(number.value, number.text) for number in column if number.value is not None]
    if len(values) < 2:
        return list(column)
    _, best = min(values) if head in LESS_IS_BETTER else max(values)
    return [replace(number, best=number.text == best) for number in column]


def _paper_row(method: dict[str, Any], paper: Sequence[PaperRow]) -> PaperRow | None:
    if method["own"]:
        return paper[-1] if paper else None
    return next((row for row in paper if row.method == method["row"]), None)


def _unusual(config: dict[str, Any]) -> str:
    """Settings that differ from the defaults and have no column."""
    usual = TrainConfig().to_dict()
    return ", ".join(
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in config.items()
        if value != usual.get(key) and key not in SHOWN
    )


def _counted(value: float) -> str:
    """A count, three digits of it in millions (M) or thousands (k)."""
    if value < 1e3:
        return f"{value:.0f}"
    unit, word = (1e6, "M") if value >= 1e6 else (1e3, "k")
    return f"{_short(value / unit)} {word}"


def _short(value: float) -> str:
    """Three digits, or all before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
