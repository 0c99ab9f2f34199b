"""The report as a page: what `templates/report.html` is filled with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from keras_ddl import __version__
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces.map_kind import GRAD_CAM
from keras_ddl.edge.files import write_text
from keras_ddl.edge.pages import render
from keras_ddl.evaluation.localisation import View
from keras_ddl.evaluation.operating_point import OperatingPoint
from keras_ddl.evaluation.results import SetResult
from keras_ddl.evaluation.tables import label
from keras_ddl.report import figures, tables
from keras_ddl.report.cases import worst_cases
from keras_ddl.report.content import Content
from keras_ddl.report.strip import strip

REPORT = "report.html"
FEW = 30
"""Videos of a class below which the page says that there are few."""
BOUNDS = {
    "separable": "its bound: no validation clip is on the wrong side, so the likelihood only "
    "grows as the temperature goes to 0, and such data cannot say how sure the network may be",
    "lowest": "the lowest that is allowed",
    "highest": "the highest that is allowed",
    "": "the minimum of the negative log-likelihood",
}


def write_report(path: Path, content: Content) -> Path:
    """Write a report, whole or not at all; equal content gives an equal file."""
    write_text(path, page(content))
    return path


def page(content: Content) -> str:
    """Return the whole page as HTML text."""
    facts = content.facts
    spec, sets = facts.spec, [part.result for part in content.sets]
    return render(
        Path(__file__).parent / "templates",
        "report.html",
        facts=facts,
        sets=sets,
        chosen=OperatingPoint.of(spec),
        views=content.views,
        related=content.related,
        domain=spec.training.get("dataset") or "unknown data",
        few=[
            f"{part.name} ({part.video['real']} real, {part.video['fake']} fake)"
            for part in sets
            if min(part.video["real"], part.video["fake"]) < FEW
        ],
        missing=[line for part in sets for line in _missing(part)],
        tables=tables,
        figures=[(part.name, figures.cards(part, spec.threshold)) for part in content.sets],
        damage=figures.robustness_cards(facts.robustness) if facts.robustness else [],
        bounds=BOUNDS,
        cases=worst_cases(content.sets, spec.threshold),
        strip=strip,
        caption=_caption,
        fingerprints=_fingerprints(spec, sets),
        config=json.dumps(facts.config.to_dict(), indent=2, ensure_ascii=False),
    )


def _caption(view: View, heat: np.ndarray, part: SetResult) -> str:
    """What stands above a clip's map: what it is, what of it is odd, how well such maps point."""
    notes = [view.caption]
    if not heat.any():
        notes.append("no place of this clip raised it more than others")
    elif len(heat) > 1 and (heat == heat[:1]).all():
        notes.append("one map for the whole clip")
    known = part.grad_cam if view.kind is GRAD_CAM else part.localisation
    if known is not None:
        notes.append(
            f"on pseudo-fakes its brightest cell is forged in {known.pointing:.0%} of the frames, "
            + (f"the usual one in {known.usual:.0%}, " if known.usual is not None else "")
            + f"a random cell in {known.chance:.0%}"
        )
        if known.informed is False:
            notes.append("it points no better than one would without a look at the picture")
    return "; ".join(notes)


def _missing(part: SetResult) -> Iterator[str]:
    """What has no number, a line each."""
    if undefined := part.undefined():
        yield f"{part.name}: {undefined}"
    for why, count in part.without_score().items():
        yield f"{part.name}: {count} videos without a score: {why}"
    for rows in (part.methods, part.compressions, part.datasets):
        for row in rows:
            if row.missing:
                yield f"{part.name}: {label(row)}: {row.missing}"


def _fingerprints(spec: ClipSpec, sets: Sequence[SetResult]) -> list[tuple[str, str]]:
    data = [(f"data of {part.name}", part.fingerprint) for part in sets]
    return [
        ("weights, SHA-256", spec.weights_sha256 or "not recorded"),
        ("data of the training", str(spec.training.get("data_fingerprint", "not recorded"))),
        *data,
        ("program", f"keras-ddl {__version__}"),
    ]
