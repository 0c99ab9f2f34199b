"""The report's section on damaged videos, from what `keras_ddl.robustness` left in the run."""

from __future__ import annotations

from html import escape
from typing import Any

from keras_ddl.report import figures, tables
from keras_ddl.report.svg import Plot

PER_FIGURE = 5
UNTOUCHED = "none"


def stress_section(found: dict[str, Any] | None) -> str:
    """Return the section, or a line that says how to get one.

    Args:
        found: What `robustness.json` holds; None where there is no such file of these weights.
    """
    if found is None:
        return (
            "<section><h2>Damaged videos</h2><p class='soft'>Not measured; "
            "<code>python -m keras_ddl.robustness RUN</code>, then evaluate again.</p></section>"
        )
    rows = {(row["family"], row["level"]): row for row in found["conditions"]}
    families = list(dict.fromkeys(name for name, _ in rows if name != UNTOUCHED))
    levels = sorted({level for name, level in rows if name != UNTOUCHED})
    plain = rows[UNTOUCHED, 0]
    cells = [
        [
            f"{escape(name)}<small>{escape(found['units'][name]['unit'])}</small>",
            *(
                _cell(rows[name, level], found["units"][name]["values"][level - 1])
                for level in levels
            ),
        ]
        for name in families
    ]
    heads = ("AUC of videos", *(f"level {level}" for level in levels))
    parts = [families[i : i + PER_FIGURE] for i in range(0, len(families), PER_FIGURE)]
    cards = "".join(_card(part, levels, rows, plain["auc"]) for part in parts)
    return (
        "<section><h2>Damaged videos</h2>"
        f'<p class="soft">Whole frames are damaged before faces are found. {found["videos"]} test '
        f"videos; untouched: {_auc(plain)}. A video too damaged for a single clip has no score; "
        "the share of those that have one is given where it is not all.</p>"
        f'{tables.rendered("stress", heads, {"": cells})}<div class="cards">{cards}</div></section>'
    )


def _cell(row: dict[str, Any], value: float) -> str:
    scored = "" if row["scored"] == 1 else f", {row['scored']:.0%} scored"
    return f"{_auc(row)}<small>{value:g}{scored}</small>"


def _auc(row: dict[str, Any]) -> str:
    return "–" if row["auc"] is None else f"{row['auc']:.3f}"


def _card(
    names: list[str],
    levels: list[int],
    rows: dict[tuple[str, int], dict[str, Any]],
    untouched: float | None,
) -> str:
    """One figure: AUC over the level, a curve per family, each from the untouched videos."""
    xs = [(float(level), str(level)) for level in (0, *levels)]
    ys = [(place / 10, f"{place / 10:g}") for place in range(0, 11, 2)]
    plot = Plot("AUC by level of damage", (0, max(levels)), (0, 1), "level", "AUC", xs, ys)
    plot.curve((0, max(levels)), (0.5, 0.5), "chance")
    for number, name in enumerate(names):
        points = [(0.0, untouched)] + [(float(level), rows[name, level]["auc"]) for level in levels]
        known = [(x, y) for x, y in points if y is not None]
        plot.curve([x for x, _ in known], [y for _, y in known], figures.series(number))
        for x, y in known:
            plot.dot(x, y, 3, figures.series(number))
    key = figures.legend([(figures.series(n), name) for n, name in enumerate(names)])
    return f"<figure><b>AUC by level</b>{plot.render()}{key}</figure>"
