"""The report's two ablation tables, from what `keras_ddl.ablation` left beside the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import mean, stdev
from typing import Any

from keras_ddl.comparison.ablation_table import NAMES
from keras_ddl.evaluation.tables import SHORT
from keras_ddl.report import tables
from keras_ddl.report.paper import paper_ablation, paper_manipulation

Cells = Sequence[dict[str, Any]]


def ablation_section(found: Mapping[str, Any]) -> str:
    """Return the section as HTML.

    Args:
        found: What `ablation.json` holds.
    """
    cells = found["cells"]
    return (
        "<section><h2>What the modules add</h2>"
        f'<p class="soft">Of the trainings by <code>python -m keras_ddl.ablation</code>, not of '
        f"this run alone: {escape(found['about'])} Videos; beneath, the paper's numbers where it "
        f"has some.</p>{_networks(cells)}{_methods(cells)}</section>"
    )


def _networks(cells: Cells) -> str:
    """Networks by datasets: ACC and AUC, as in the paper's first ablation table."""
    datasets = _distinct(cells, "dataset")
    rows = []
    for backbone in _distinct(cells, "backbone"):
        for variant, name in NAMES.items():
            if not _of(cells, backbone=backbone, variant=variant):
                continue
            row = [escape(f"{backbone} {name}".replace(" plain", ""))]
            for dataset in datasets:
                here = _of(cells, dataset=dataset, backbone=backbone, variant=variant)
                tested = here[0]["datasets"] if here else []
                paper = None
                if len(tested) == 1:  # the column may name the folder too
                    paper = paper_ablation(tested[0], backbone, variant)
                for key, printed in zip(("accuracy", "auc"), paper or (None, None), strict=True):
                    row.append(_spread([cell["test"]["video"][key] for cell in here], printed))
            rows.append(row)
    heads = [f"{dataset} {short}" for dataset in datasets for short in ("ACC", "AUC")]
    return tables.rendered("ablation", ["network", *heads], {"": rows})


def _methods(cells: Cells) -> str:
    """Networks by methods of forgery: AUC, as in the paper's second ablation table."""
    groups = {}
    methods = list(dict.fromkeys(method for cell in cells for method in cell["methods"]))
    if len(methods) < 2:
        return ""
    for dataset in _distinct(cells, "dataset"):
        for backbone in _distinct(cells, "backbone"):
            rows = []
            for variant, name in NAMES.items():
                here = _of(cells, dataset=dataset, backbone=backbone, variant=variant)
                row = [escape(name)]
                for method in methods:
                    values = [
                        cell["methods"][method]["auc"] for cell in here if method in cell["methods"]
                    ]
                    row.append(_spread(values, paper_manipulation(method, variant)))
                if here:
                    rows.append(row)
            groups[f"{dataset}, {backbone}"] = rows
    heads = ["AUC of videos", *(SHORT.get(method, method) for method in methods)]
    return (
        "<h3>By method of forgery</h3>"
        '<p class="soft">The paper does not say in our source whether its numbers are ACC or AUC.'
        f"</p>{tables.rendered('manipulations', heads, groups)}"
    )


def _distinct(cells: Cells, key: str) -> list[str]:
    return list(dict.fromkeys(cell[key] for cell in cells))


def _of(cells: Cells, **wanted: str) -> Cells:
    return [cell for cell in cells if all(cell[key] == value for key, value in wanted.items())]


def _spread(values: Sequence[float], printed: float | None) -> str:
    """Mean, standard deviation over seeds, and the paper's number."""
    if not values:
        return tables.NONE
    small = [f"± {stdev(values):.4f}"] if len(values) > 1 else []
    small += [f"paper {printed:.4f}"] if printed is not None else []
    return f"{mean(values):.4f}" + "".join(f"<small>{words}</small>" for words in small)
