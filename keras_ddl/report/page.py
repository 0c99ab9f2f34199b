"""`write_report`: the page, section by section."""

from __future__ import annotations

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from keras_ddl import __version__
from keras_ddl.edge.files import write_text
from keras_ddl.evaluation.calibration import probabilities_from_margins
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.tables import label
from keras_ddl.report import figures, tables
from keras_ddl.report.cases import Case, worst_cases
from keras_ddl.report.content import Content, ScoredSet
from keras_ddl.report.stress import stress_section
from keras_ddl.report.strip import strip
from keras_ddl.report.style import STYLE

REPORT = "report.html"
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
SYNTHETIC = "synthetic"
FEW = 30
"""Videos of a class below which the page says that there are few."""


def write_report(path: Path, content: Content) -> Path:
    """Write a report, whole or not at all; equal content gives an equal file.

    Args:
        path: The HTML file.
        content: What to show.

    Returns:
        `path`.
    """
    write_text(path, page(content))
    return path


def page(content: Content) -> str:
    """Return the whole page as HTML text."""
    body = "\n".join(
        part
        for part in (
            _top(content),
            _results(content),
            *(_figures(part, content) for part in content.sets),
            _calibration(content),
            stress_section(content.stress),
            *content.beside,
            _cases(content),
            _fingerprints(content),
        )
        if part
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content.run)}: evaluation</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _top(content: Content) -> str:
    result = content.result
    clip = (
        f"{content.spec.frames} frames of {content.spec.size} px, {content.spec.interval_ms:g} ms"
    )
    return (
        f"<header><h1>Run {escape(content.run)}</h1>"
        f'<p class="soft">{escape(content.network)} · clips of {clip} apart · trained on '
        f"{escape(_domain(content))} · threshold {result['threshold']:.4g}, temperature "
        f"{result['temperature']:.4g}</p></header>"
        + "".join(f'<p class="warning">{words}</p>' for words in _warnings(content))
    )


def _warnings(content: Content) -> Iterable[str]:
    """What a reader must know before any number."""
    if _domain(content) == SYNTHETIC:
        yield (
            "<strong>This model knows only synthetic faces.</strong> It was trained on generated "
            "videos; its numbers say that the chain works, and nothing about real forgeries."
        )
    if content.result.get("calibration") is None:
        yield (
            "Threshold and temperature were not chosen on validation: they are the defaults of "
            "the run's spec."
        )
    few = [
        f"{escape(part['name'])} ({part['video']['real']} real, {part['video']['fake']} fake)"
        for part in content.result["sets"]
        if min(part["video"]["real"], part["video"]["fake"]) < FEW
    ]
    if few:
        yield (
            f"Few videos: {', '.join(few)}. One video moves such numbers visibly, and an interval "
            "over so few, above all one of zero width, says little."
        )


def _domain(content: Content) -> str:
    return str(content.spec.training.get("dataset") or "unknown data")


def _results(content: Content) -> str:
    parts = content.result["sets"]
    unseen = [part["name"] for part in parts if not part["trained_on"]]
    lines = [
        "<section><h2>Results on test splits</h2>",
        '<p class="soft">In small print: the interval that holds 95% of 1000 resamples of whole '
        "videos, at a fixed threshold.</p>",
        tables.main_table(parts),
    ]
    if unseen:
        listed = escape(", ".join(unseen))
        lines.append(f"<p>Cross-dataset, never seen in training: {listed}.</p>")
    paper = {part["name"]: tables.paper_table(part["name"]) for part in parts if part["trained_on"]}
    for name, table in paper.items():
        if table:
            lines.append(
                f"<details><summary>What the paper prints for {escape(name)}</summary>"
                '<p class="soft">As printed; the authors\' own weights and choice of videos, which '
                f"may differ from those above.</p>{table}</details>"
            )
    lines.append("<h3>By method</h3>")
    lines.append(
        '<p class="soft">Each method\'s fakes against the reals of the same dataset and '
        "compression.</p>"
    )
    lines += [tables.method_table(part) for part in parts if part["methods"]]
    for kind, words in (("compressions", "By compression"), ("datasets", "By dataset")):
        if table := tables.group_table(kind, parts):
            lines.append(f"<h3>{words}</h3>{table}")
    lines.append(f"<h3>Every number</h3>{tables.every_number(parts)}")
    lines += [_missing(part) for part in parts]
    return "\n".join([*lines, "</section>"])


def _missing(part: dict[str, Any]) -> str:
    without = {name: count for name, count in part["videos"].items() if name != "ok"}
    groups = [
        f"{label(row)}: {row['missing']}"
        for kind in ("methods", "compressions", "datasets")
        for row in part[kind]
        if row["missing"]
    ]
    lines = [f"{count} videos without a score: {name}" for name, count in sorted(without.items())]
    return "".join(
        f'<p class="soft">{escape(part["name"])}: {escape(line)}.</p>' for line in lines + groups
    )


def _figures(part: ScoredSet, content: Content) -> str:
    videos = part.scores.videos()
    curves: dict[str, Scores] = {"clips": part.scores, "videos": videos}
    names = [(figures.series(number), name) for number, name in enumerate(curves)]
    before = probabilities_from_margins(part.margins)
    threshold = content.result["threshold"]
    cards = [
        (
            "ROC",
            figures.roc_figure(curves),
            figures.legend([*names, ("chance", "chance")]),
        ),
        ("DET", figures.det_figure(curves), figures.legend(names)),
        (
            "Scores of videos",
            figures.histogram_figure(videos, threshold),
            figures.legend([("fake", "fake"), ("real", "real"), ("threshold", "threshold")]),
        ),
        (
            "Reliability of clips",
            figures.reliability_figure(part.scores, before),
            figures.legend(
                [
                    ("before", f"before, ECE {part.result['ece_before']:.4f}"),
                    ("after", f"after, ECE {part.result['ece_after']:.4f}"),
                ]
            ),
        ),
        ("Confusion at the threshold", tables.confusion_table(part.result), ""),
    ]
    drawn = "".join(f"<figure><b>{name}</b>{svg}{key}</figure>" for name, svg, key in cards)
    return f'<section><h2>{escape(part.name)}</h2><div class="cards">{drawn}</div></section>'


def _calibration(content: Content) -> str:
    found = content.result.get("calibration")
    if found is None:
        return ""
    bounds = {
        "separable": "its bound: no validation clip is on the wrong side, so the likelihood only "
        "grows as the temperature goes to 0, and such data cannot say how sure the network may be",
        "lowest": "the lowest that is allowed",
        "highest": "the highest that is allowed",
        "": "the minimum of the negative log-likelihood",
    }
    words = f"{found['temperature']:.4g}, {bounds[found['bounded']]}"
    low, high = found["interval"]
    rows = [
        (f"validation, {found['clips']} clips of {found['videos']} videos (fitted on these)", found)
    ]
    rows += [(f"{part['name']}, test", part) for part in content.result["sets"]]
    names = ("nll_before", "nll_after", "ece_before", "ece_after")
    cells = [[escape(name), *(tables.number(row[key]) for key in names)] for name, row in rows]
    heads = ("clips of", "NLL before", "NLL after", "ECE before", "ECE after")
    table = tables.rendered("calibration", heads, {"": cells})
    return (
        "<section><h2>Threshold and temperature</h2><dl>"
        f"<dt>temperature</dt><dd>{escape(words)}</dd>"
        f"<dt>threshold</dt><dd>{found['threshold']:.4g}, from the interval {low:.4g} to "
        f"{high:.4g}; balanced accuracy on validation {found['balanced_accuracy']:.4f}</dd>"
        f"<dt>rule</dt><dd>{escape(found['rule'])}</dd></dl>"
        f"{table}</section>"
    )


def _cases(content: Content) -> str:
    cases = worst_cases(content.sets, content.result["threshold"])
    if any(case.wrong for case in cases):
        heading = "Worst mistakes"
        words = "The videos farthest on the wrong side of the threshold, worst first."
    else:
        heading = "Closest calls"
        words = "No video is judged wrongly; these come closest to the threshold."
    shown = "".join(_case(case, content) for case in cases)
    return (
        f'<section><h2>{heading}</h2><p class="soft">{words} Shown is the clip that speaks most '
        "for the wrong side; under the frames, where the network looked (not where a forgery is)."
        f"</p>{shown}</section>"
    )


def _case(case: Case, content: Content) -> str:
    truth = ("real", "fake")[case.label]
    dataset, method, compression, video = case.key
    named = " · ".join(word for word in (dataset, method, compression, video) if word)
    clip = case.part.clips[case.clip]
    images = "".join(
        f'<img src="{source}" alt="frame {number} of {escape(video)}" loading="lazy">'
        for number, source in enumerate(strip(clip, content.heat(clip)), start=1)
    )
    return (
        f'<article class="case"><p><span class="tag {truth}">{truth}</span>video '
        f'<b class="score">{case.score:.4f}</b>, this clip {case.clip_score:.4f}<br>'
        f'<span class="soft name">{escape(named)}</span></p><div class="strip">{images}</div>'
        "</article>"
    )


def _fingerprints(content: Content) -> str:
    spec = content.spec
    rows = [
        ("weights, SHA-256", spec.weights_sha256 or "not recorded"),
        ("data of the training", str(spec.training.get("data_fingerprint", "not recorded"))),
        *((f"data of {part['name']}", part["fingerprint"]) for part in content.result["sets"]),
        ("program", f"keras-ddl {__version__}"),
    ]
    listed = "".join(
        f"<dt>{escape(name)}</dt><dd><code>{escape(value)}</code></dd>" for name, value in rows
    )
    config = json.dumps(content.config, indent=2, ensure_ascii=False)
    return (
        f"<section><h2>Fingerprints</h2><dl>{listed}</dl>"
        f"<details><summary>Configuration of the training</summary><pre>{escape(config)}</pre>"
        f"</details><details><summary>Spec that the model carries</summary>"
        f"<pre>{escape(spec.to_json())}</pre></details></section>"
    )
