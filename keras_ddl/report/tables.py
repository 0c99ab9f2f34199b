"""Tables of the report: every number is one of `test.json`, to four digits."""

from __future__ import annotations

from collections.abc import Sequence

from keras_ddl.edge.pages import Cell, Row, Small, Table
from keras_ddl.evaluation.operating_point import OperatingPoint
from keras_ddl.evaluation.results import (
    UNTOUCHED,
    ConditionResult,
    GroupResult,
    RobustnessResult,
    SetResult,
)
from keras_ddl.evaluation.tables import COLUMNS, NONE, SHORT, label
from keras_ddl.report.paper import paper_rows

WIDE = COLUMNS | {
    "precision": "precision",
    "recall": "recall",
    "EER": "eer",
    "AP": "average_precision",
    "TPR at 1% FPR": "tpr_at_1pct_fpr",
    "TPR at 0.1% FPR": "tpr_at_0.1pct_fpr",
}


def main_table(parts: Sequence[SetResult]) -> Table:
    """Return ACC, AUC and F1 with intervals at both levels.

    The paper's own method stands below where the network was trained on the same dataset.
    """
    groups = {}
    for part in parts:
        rows: list[Row] = []
        levels = (("clip", "clips", part.clip), ("video", "videos (mean)", part.video))
        for level, words, found in levels:
            ends = part.intervals[level]
            numbers = [number(found[name], ends.get(name)) for name in COLUMNS.values()]
            rows.append([words, *numbers, str(found["real"]), str(found["fake"])])
        for row in paper_rows(part.name)[-1:] if part.trained_on else []:
            for words, values in (("frames", row.clip), ("videos", row.video)):
                if any(value is not None for value in values):
                    about = f"{row.method}, the paper: {words}"
                    rows.append([about, *map(number, values), NONE, NONE])
        groups[part.name] = rows
    return Table("results", ["level", *COLUMNS, "real", "fake"], groups)


def every_number(parts: Sequence[SetResult]) -> Table:
    """Return every number of `metrics.report`, and the other ways to make a video's score."""
    groups: dict[str, list[Row]] = {}
    for part in parts:
        variants = {
            "clips": part.clip,
            "videos (mean)": part.video,
            "videos (median)": part.video_median,
            "videos (mean of top 3)": part.video_topk,
        }
        groups[part.name] = [
            [words, *(number(found[name]) for name in WIDE.values())]
            for words, found in variants.items()
        ]
    return Table("numbers", ["level", *WIDE], groups)


def method_table(part: SetResult) -> Table:
    """Return methods side by side as in the paper, each against the reals of its compression."""
    methods = list(dict.fromkeys(row.names["method"] for row in part.methods))
    found: dict[str, dict[str, GroupResult]] = {}
    for row in part.methods:
        reals = f"{row.names['dataset']} {row.names['compression']}".strip()
        found.setdefault(reals, {})[row.names["method"]] = row
    groups: dict[str, list[Row]] = {
        reals: [
            [short, *(_of_group(rows.get(method), COLUMNS[short]) for method in methods)]
            for short in ("ACC", "AUC")
        ]
        for reals, rows in found.items()
    }
    return Table("methods", ["videos", *(SHORT.get(name, name) for name in methods)], groups)


def group_table(kind: str, parts: Sequence[SetResult]) -> Table | None:
    """Return the rows of one kind of group, videos; None where no set has more than one."""
    found = [part.groups()[kind] for part in parts]
    rows: list[Row] = [
        [label(row), *(_of_group(row, name) for name in COLUMNS.values())]
        for group in found
        if len(group) > 1
        for row in group
    ]
    return Table(kind, [kind[:-1], *COLUMNS], {"": rows}) if rows else None


def false_alarm_table(parts: Sequence[SetResult]) -> Table | None:
    """Return the share of reals called fake, by source; None where no set has reals."""
    groups: dict[str, list[Row]] = {
        part.name: [
            [
                row.source or "all",
                number(row.rate, (row.low, row.high)),
                f"{row.called}/{row.reals}",
            ]
            for row in part.false_alarms
        ]
        for part in parts
        if part.false_alarms
    }
    heads = ("source", "share called fake", "of")
    return Table("false-alarms", heads, groups) if groups else None


def pair_table(parts: Sequence[SetResult]) -> Table | None:
    """Return how often fakes score above their originals; None where no original is known."""
    groups: dict[str, list[Row]] = {
        part.name: [
            [row.method or "all", number(row.accuracy, (row.low, row.high)), str(row.pairs)]
            for row in part.pairs
        ]
        for part in parts
        if part.pairs
    }
    heads = ("method", "share of fakes above their originals", "pairs")
    return Table("pairs", heads, groups) if groups else None


def probe_table(parts: Sequence[SetResult]) -> Table | None:
    """Return the AUC of harmlessly changed reals against themselves; None where not measured."""
    groups: dict[str, list[Row]] = {
        part.name: [
            [row.name, number(row.auc), row.calls(), "taken for a forgery" if row.fooled else ""]
            for row in part.probes
        ]
        for part in parts
        if part.probes
    }
    return (
        Table("probes", ("change of reals", "AUC", "clips called fake", ""), groups)
        if groups
        else None
    )


def pointing_table(parts: Sequence[SetResult]) -> Table | None:
    """Return how well the maps point at forgeries; None where no mask was known."""
    groups: dict[str, list[Row]] = {
        part.name: [
            [
                Cell(name, [Small(f"features of {found.layer}")] if found.layer else []),
                number(found.pointing, (found.low, found.high)),
                number(found.usual),
                number(found.chance),
                number(found.pixel_auc),
                number(found.usual_auc),
                number(found.contrast),
                str(found.clips),
            ]
            for name, found in part.pointing().items()
        ]
        for part in parts
        if part.pointing()
    }
    heads = ("map", "brightest cell forged", "the usual cell", "a random cell", "AUC of cells")
    more = ("AUC of the usual place", "brighter than on the real twin", "pseudo-fakes")
    return Table("pointing", (*heads, *more), groups) if groups else None


def paper_table(dataset: str) -> Table | None:
    """Return all that the paper prints for a dataset; None where it prints nothing."""
    rows: list[Row] = [
        [row.method, *map(number, row.clip), *map(number, row.video)] for row in paper_rows(dataset)
    ]
    heads = [f"{level} {short}" for level in ("frame", "video") for short in COLUMNS]
    return Table("paper", ["method", *heads], {"": rows}) if rows else None


def confusion_table(part: SetResult) -> Table:
    """Return videos by truth and verdict."""
    counts = part.confusion
    rows = [
        ["real", str(counts["true_real"]), str(counts["false_fake"])],
        ["fake", str(counts["false_real"]), str(counts["true_fake"])],
    ]
    return Table("confusion", ["videos", "called real", "called fake"], {"": rows})


def calibration_table(point: OperatingPoint, parts: Sequence[SetResult]) -> Table:
    """Return NLL and ECE of clips, of validation and of every test set."""
    validation = f"validation, {point.clips} clips of {point.videos} videos (fitted on these)"
    measured: list[tuple[str, OperatingPoint | SetResult]] = [(validation, point)]
    measured += [(f"{part.name}, test", part) for part in parts]
    rows: list[Row] = [
        [name, *map(number, (one.nll_before, one.nll_after, one.ece_before, one.ece_after))]
        for name, one in measured
    ]
    heads = ("clips of", "NLL before", "NLL after", "ECE before", "ECE after")
    return Table("calibration", heads, {"": rows})


def robustness_table(found: RobustnessResult) -> Table:
    """Return the AUC of videos by perturbation and level, with the value of each level."""
    rows = []
    for family in found.families():
        unit = found.units[family]
        damaged = [
            _damaged(found.at(family, level), unit["values"][level - 1]) for level in found.levels()
        ]
        rows.append([Cell(family, [Small(unit["unit"])]), *damaged])
    heads = ("AUC of videos", *(f"level {level}" for level in found.levels()))
    return Table("stress", heads, {"": rows})


def untouched_auc(found: RobustnessResult) -> str:
    """Return the AUC of the videos to which nothing was done."""
    return _auc(found.at(UNTOUCHED, 0))


def number(value: float | None, interval: Sequence[float] | None = None) -> Cell:
    """Return a number to four digits, with its interval in small print."""
    if value is None:
        return Cell(NONE)
    if interval is None:
        return Cell(f"{value:.4f}")
    return Cell(f"{value:.4f}", [Small(f"{interval[0]:.4f} to {interval[1]:.4f}")])


def _of_group(row: GroupResult | None, name: str) -> Cell:
    if row is None:
        return Cell(NONE)
    if row.video is None:
        return Cell(NONE, title=row.missing)
    return number(row.video[name], row.intervals["video"][name])


def _damaged(row: ConditionResult, value: float) -> Cell:
    scored = "" if row.scored == 1 else f", {row.scored:.0%} scored"
    return Cell(_auc(row), [Small(f"{value:g}{scored}")])


def _auc(row: ConditionResult) -> str:
    return NONE if row.auc is None else f"{row.auc:.3f}"
