"""The comparison as a page and as Markdown, from what `comparison.json` holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from keras_ddl.comparison import table
from keras_ddl.comparison.picture import PICTURE_STYLE, key, picture, points
from keras_ddl.comparison.table import settings_rows
from keras_ddl.report.page import FEW, POLICY
from keras_ddl.report.style import STYLE
from keras_ddl.report.tables import rendered

PAGE_STYLE = """
main { max-width: 1240px; }
a { color: var(--accent); } th small { white-space: normal; }
.wide { max-width: 900px; margin: 12px 0; background: var(--card); border: 1px solid var(--rule);
  border-radius: 8px; padding: 12px; overflow-x: auto; }
.wide svg { min-width: 600px; } ul.plain { padding-left: 20px; max-width: 90ch; }
.settings th small { max-width: 20rem; }
.words { display: block; white-space: normal; min-width: 8rem; max-width: 16rem; }
ul.plain li { overflow-wrap: anywhere; margin: 3px 0; }
"""
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
    body = "\n".join(
        (
            _top(comparison),
            *(_dataset(comparison, dataset) for dataset in comparison["datasets"]),
            _listed("Protocol", protocol(comparison)),
            _settings(comparison),
            _origin(comparison),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Comparison</title>\n<style>{STYLE}{PICTURE_STYLE}{PAGE_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


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
    heads, lines = settings_rows(comparison)
    rows = [f"| {' | '.join(map(table.cell_text, line))} |" for line in lines]
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


def _top(comparison: dict[str, Any]) -> str:
    names = ", ".join(dataset["title"] for dataset in comparison["datasets"])
    count = len(comparison["methods"])
    return (
        "<header><h1>Comparison of detectors</h1>"
        f'<p class="soft">{count} {"methods" if count > 1 else "method"} on {escape(names)}, '
        "trained and judged under one protocol</p></header>"
        + "".join(f'<p class="warning">{escape(words)}</p>' for words in _warnings(comparison))
    )


def _dataset(comparison: dict[str, Any], dataset: dict[str, Any]) -> str:
    found = points(comparison, dataset)
    drawn = (
        f'<figure class="wide"><b>Accuracy against cost</b>'
        f"{picture(found, 'Accuracy against cost on ' + dataset['title'])}{key()}"
        f"<figcaption>AUC of test videos over the cost of a clip, with 95% intervals; also as <a "
        f'href="{escape(picture_file(dataset))}">a file</a>.</figcaption></figure>'
        if found
        else ""
    )
    told = "".join(
        f"<li><b>{escape(title)}</b>: {escape(line)}</li>"
        for title, line in table.remarks(comparison, dataset)
    )
    return (
        f"<section><h2>{escape(dataset['title'])}</h2>"
        f'<p class="soft">Test split, {_counts(dataset)}. In bold the best of each column. '
        f"{escape(table.paper_note(dataset['title']))}</p>"
        f"{dataset_table(comparison, dataset, _name)}"
        + (f'<ul class="plain remarks">{told}</ul>' if told else "")
        + f"{drawn}{_trainings(comparison, dataset)}</section>"
    )


def dataset_table(
    comparison: dict[str, Any],
    dataset: dict[str, Any],
    name: Callable[[table.Row, dict[str, Any]], str] = lambda row, _: plain_name(row),
) -> str:
    """Return the paper's table of a dataset as HTML.

    Args:
        comparison, dataset: As in `comparison.json`.
        name: Makes the first cell of a row, HTML.
    """
    rows = [
        [name(row, dataset), *map(_number, row.numbers)] for row in table.rows(comparison, dataset)
    ]
    return rendered("comparison", ("method", *table.HEADS), {"": rows})


def _counts(dataset: dict[str, Any]) -> str:
    tests = [cell["test"] for cell in dataset["cells"].values() if cell.get("test")]
    if not tests:
        return "nothing judged yet"
    real, fake = (max(test["video"][kind] for test in tests) for kind in ("real", "fake"))
    return f"{real} real and {fake} fake videos"


def _name(row: table.Row, dataset: dict[str, Any]) -> str:
    if row.cell.get("test"):
        title = escape(row.method["title"])
        report = f"{dataset['name']}/{row.method['name']}/report.html"
        return f'<a href="{escape(report)}">{title}</a>'
    return plain_name(row)


def plain_name(row: table.Row) -> str:
    """Return a method's title and, where it has no result, why; HTML."""
    style = "waiting" if row.state == table.NOT_YET else "failed"
    state = f'<small class="{style}">{escape(row.state)}</small>' if row.state else ""
    return escape(row.method["title"]) + state


def _number(number: table.Number) -> str:
    shown = f"<b>{number.text}</b>" if number.best else number.text
    shown += f"<small>{number.interval}</small>" if number.interval else ""
    return shown + (f'<small class="paper">paper {number.paper}</small>' if number.paper else "")


def _trainings(comparison: dict[str, Any], dataset: dict[str, Any]) -> str:
    """What each training on a dataset came to, folded away."""
    rows = []
    for method in comparison["methods"]:
        cell = dataset["cells"].get(method["name"], {})
        if cell.get("test"):
            epochs = f"{cell['best_epoch']} of {method['config']['epochs']}"
            minutes = f"{cell['training_seconds'] / 60:.1f}"
            point = f"{cell['threshold']:.4g}", f"{cell['temperature']:.4g}"
            without = sum(n for fate, n in cell["test"]["videos"].items() if fate != "ok")
            clips = cell["test"]["clip"]["real"] + cell["test"]["clip"]["fake"]
            name = escape(method["title"])
            rows.append([name, epochs, minutes, *point, str(clips), str(without)])
    if not rows:
        return ""
    heads = (
        *("method", "selected epoch", "training, min", "threshold", "temperature"),
        *("test clips", "videos without a clip"),
    )
    inside = rendered("trainings", heads, {"": rows})
    return f"<details><summary>Trainings on {escape(dataset['title'])}</summary>{inside}</details>"


def _listed(heading: str, lines: list[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<section><h2>{heading}</h2><ul class="plain">{items}</ul></section>'


def _settings(comparison: dict[str, Any]) -> str:
    heads, lines = settings_rows(comparison)
    sources = {method["title"]: method["source"] for method in comparison["methods"]}
    cells = [
        [
            f"{escape(line[0])}<small>{escape(sources[line[0]])}</small>",
            *map(escape, line[1:-1]),
            f'<span class="words">{escape(line[-1])}</span>',
        ]
        for line in lines
    ]
    return (
        "<section><h2>Settings of each method</h2>"
        f"{rendered('settings', heads, {'': cells})}</section>"
    )


def _origin(comparison: dict[str, Any]) -> str:
    program = comparison["program"]
    rows = {
        "command": comparison["command"],
        "program": f"keras-ddl {program['version']}, commit {program['git'] or 'unknown'}",
        **{
            f"data of {dataset['title']}": f"{dataset['root']} ({dataset['layout']})"
            for dataset in comparison["datasets"]
        },
    }
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>"
        for name, value in rows.items()
    )
    return f"<section><h2>Where this comes from</h2><dl>{listed}</dl></section>"
