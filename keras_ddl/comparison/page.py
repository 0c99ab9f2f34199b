"""The comparison as a page and as Markdown, from what `comparison.json` holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_ddl.comparison import table
from keras_ddl.comparison.picture import KEY, picture, points
from keras_ddl.comparison.table import settings_rows
from keras_ddl.edge.pages import Cell, Row, Small, Table, render
from keras_ddl.report.page import FEW

SYNTHETIC = (
    "These videos are generated: their numbers say that the chain works and how fast each method "
    "learns what a generator does, and nothing about real forgeries."
)


def picture_file(dataset: dict[str, Any]) -> str:
    """Return the name of the file with a dataset's picture."""
    return f"accuracy-cost-{dataset['name']}.svg"


def protocol(comparison: dict[str, Any]) -> list[str]:
    """Return what was the same for all methods and what was each method's own, a line each."""
    given = " ".join(comparison["overrides"])
    return [
        "The same for all: videos and splits; Adam and the cross-entropy of two classes, whatever "
        "loss a method's authors used; this project's augmentation; the epoch with the highest AUC "
        "of validation videos, ties by the lower loss, then the earlier one; temperature and then "
        "threshold by one rule on the validation videos; the metrics.",
        "Each method's own: the network; its clip (frames, size and time between them, margin), "
        "cut from those same videos; start weights, learning rate, batch and epochs, as in the "
        "table of settings below.",
        f"Set for all of them, over their own settings: {given}."
        if given
        else "Nothing was set for all of them, over their own settings.",
        "The paper's frame level is the level of single predictions. Here that is a clip: a method "
        "that looks at one frame at a time is given the mean of its frames' probabilities. A "
        "video's score is the mean of its clips' probabilities.",
        "Intervals hold 95% of 1000 resamples of whole test videos, the threshold fixed: they say "
        "how much the choice of videos matters, not what another training would give. Each method "
        "was trained once.",
        "Parameters are trainable numbers; GMAC are 10⁹ multiply-accumulates of convolutions and "
        "products for one clip, so a method with longer clips pays for them here; clips/s is the "
        "exported graph in ONNX Runtime, float32, on the machine that ran the comparison.",
    ]


def page(comparison: dict[str, Any]) -> str:
    """Return the whole page as HTML text."""
    return render(
        Path(__file__).parent / "templates",
        "comparison.html",
        comparison=comparison,
        warnings=list(_warnings(comparison)),
        counts=_counts,
        paper_note=table.paper_note,
        dataset_table=dataset_table,
        remarks=table.remarks,
        picture=dataset_picture,
        picture_file=picture_file,
        key=KEY,
        trainings=_trainings,
        protocol=protocol(comparison),
        settings=_settings(comparison),
        origin=_origin(comparison),
    )


def dataset_picture(comparison: dict[str, Any], dataset: dict[str, Any]) -> str:
    """Return accuracy against cost as an SVG element; "" where nothing can be drawn."""
    found = points(comparison, dataset)
    return picture(found, f"Accuracy against cost on {dataset['title']}") if found else ""


def markdown(comparison: dict[str, Any]) -> str:
    """Return the comparison as Markdown text."""
    parts = ["# Comparison", *(f"> {words}" for words in _warnings(comparison))]
    for dataset in comparison["datasets"]:
        parts += [f"## {dataset['title']}", table.markdown(comparison, dataset)]
        parts.append(table.paper_note(dataset["title"]))
        listed = [
            f"- {table.cell_text(title)}: {line}"
            for title, line in table.remarks(comparison, dataset)
        ]
        parts += ["\n".join(listed)] if listed else []
        if points(comparison, dataset):
            parts.append(f"![accuracy against cost](<{picture_file(dataset)}>)")
    parts += ["## Protocol", "\n".join(f"- {line}" for line in protocol(comparison))]
    parts.append("## Settings")
    heads = table.SETTINGS_HEADS
    rows = [f"| {' | '.join(map(table.cell_text, line))} |" for line in settings_rows(comparison)]
    parts.append("\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows]))
    program = comparison["program"]
    commit = program["git"] or "unknown"
    parts.append(f"`{comparison['command']}`, version {program['version']}, commit {commit}")
    return "\n\n".join(parts) + "\n"


def _warnings(comparison: dict[str, Any]) -> Iterator[str]:
    waiting = sum(
        row.state == table.NOT_YET
        for dataset in comparison["datasets"]
        for row in table.rows(comparison, dataset)
    )
    if waiting:
        count = f"{waiting} trainings are" if waiting > 1 else "one training is"
        yield f"Not finished: {count} still to come; this page grows with each."
    if any(dataset["synthetic"] for dataset in comparison["datasets"]):
        yield SYNTHETIC
    if listed := table.few(comparison, FEW):
        yield (
            f"Few videos: {', '.join(listed)}. One video moves such numbers visibly, and an "
            "interval over so few, above all one of zero width, says little."
        )
    if reason := comparison["speed_error"]:
        yield f"Speed was not measured: {reason}."


def dataset_table(
    comparison: dict[str, Any],
    dataset: dict[str, Any],
    linked: bool = False,
) -> Table:
    """Return the paper's table of a dataset.

    Args:
        comparison, dataset: As in `comparison.json`.
        linked: Whether a method leads to its report where there is one.
    """
    folder = dataset["name"] if linked else ""
    rows = [
        [_named(row, folder), *map(_number, row.numbers)] for row in table.rows(comparison, dataset)
    ]
    return Table("comparison", ("method", *table.HEADS), {"": rows})


def _counts(dataset: dict[str, Any]) -> str:
    tests = [cell["test"] for cell in dataset["cells"].values() if cell.get("test")]
    if not tests:
        return "nothing judged yet"
    real, fake = (max(test["video"][kind] for test in tests) for kind in ("real", "fake"))
    return f"{real} real and {fake} fake videos"


def _named(row: table.Row, folder: str) -> Cell:
    """A method's title, and why it has no result; `folder`, where its report lies, links to it."""
    title = row.method["title"]
    if row.state:
        return Cell(
            title, [Small(row.state, "waiting" if row.state == table.NOT_YET else "failed")]
        )
    return Cell(title, href=f"{folder}/{row.method['name']}/report.html" if folder else "")


def _number(number: table.Number) -> Cell:
    small = [Small(number.interval)] if number.interval else []
    small += [Small(f"paper {number.paper}", "paper")] if number.paper else []
    return Cell(number.text, small, "best" if number.best else "")


def _trainings(comparison: dict[str, Any], dataset: dict[str, Any]) -> Table | None:
    """What each training on a dataset came to."""
    rows = []
    for method in comparison["methods"]:
        cell = dataset["cells"].get(method["name"], {})
        if cell.get("test"):
            epochs = f"{cell['best_epoch']} of {method['config']['epochs']}"
            minutes = f"{cell['training_seconds'] / 60:.1f}"
            point = f"{cell['threshold']:.4g}", f"{cell['temperature']:.4g}"
            without = sum(n for fate, n in cell["test"]["videos"].items() if fate != "ok")
            clips = cell["test"]["clip"]["real"] + cell["test"]["clip"]["fake"]
            rows.append([method["title"], epochs, minutes, *point, str(clips), str(without)])
    heads = (
        "method",
        "selected epoch",
        "training, min",
        "threshold",
        "temperature",
        "test clips",
        "videos without a clip",
    )
    return Table("trainings", heads, {"": rows}) if rows else None


def _settings(comparison: dict[str, Any]) -> Table:
    sources = {method["title"]: method["source"] for method in comparison["methods"]}
    rows: list[Row] = [
        [Cell(line[0], [Small(sources[line[0]])]), *line[1:-1], Cell(line[-1], style="words")]
        for line in settings_rows(comparison)
    ]
    return Table("settings", table.SETTINGS_HEADS, {"": rows})


def _origin(comparison: dict[str, Any]) -> list[tuple[str, str]]:
    program = comparison["program"]
    data = [
        (f"data of {dataset['title']}", f"{dataset['root']} ({dataset['layout']})")
        for dataset in comparison["datasets"]
    ]
    return [
        ("command", comparison["command"]),
        ("program", f"keras-ddl {program['version']}, commit {program['git'] or 'unknown'}"),
        *data,
    ]
