"""Related results: an ablation's and a comparison's on the data that a run is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from keras_ddl.comparison.ablation_results import SUMMARY, Trained, by_network, distinct
from keras_ddl.comparison.cell import MethodNumbers
from keras_ddl.comparison.page import dataset_table
from keras_ddl.edge.files import read_json
from keras_ddl.evaluation.tables import SHORT
from keras_ddl.networks.ablations import TITLES
from keras_ddl.report import tables
from keras_ddl.report.paper import paper_ablation, paper_manipulation

ABLATION = Path("ablation") / SUMMARY
COMPARISON = Path("compare/comparison.json")


def beside(run: Path, datasets: Iterable[str]) -> tuple[str, ...]:
    """Read what lies in the folder of runs; a run of a matrix finds the one it is part of.

    Args:
        run: The run folder.
        datasets: What it is tested on, as the keys of videos name them.

    Returns:
        Sections for the report, as HTML; none where nothing was found on these data.
    """
    known = set(datasets)
    found = (_ablation(_of(run, ABLATION), known), _comparison(_of(run, COMPARISON), known))
    return tuple(section for section in found if section)


def _of(run: Path, file: Path) -> Path:
    own = run.parent.parent / file.name
    return own if own.is_file() else run.parent / file


def _ablation(file: Path, known: set[str]) -> str:
    if not file.is_file():
        return ""
    found = read_json(file)
    trained = [Trained.from_json(cell) for cell in found["cells"]]
    trained = [one for one in trained if known & set(one.result.test.datasets)]
    return ablation_section(found["about"], trained) if trained else ""


def ablation_section(about: str, trained: Sequence[Trained]) -> str:
    """Return the paper's two ablation tables as a section of HTML.

    Args:
        about: What was trained, in a line.
        trained: The trainings.
    """
    return (
        "<section><h2>What the modules add</h2>"
        f'<p class="soft">Of the trainings by <code>python -m keras_ddl.ablation</code>, not of '
        f"this run alone: {escape(about)} Videos; beneath, the paper's numbers where it "
        f"has some.</p>{_networks(trained)}{_methods(trained)}</section>"
    )


def _networks(trained: Sequence[Trained]) -> str:
    """Networks by datasets: ACC and AUC, as in the paper's first ablation table."""
    rows = []
    for backbone, variant, mine in by_network(trained):
        row = [escape(f"{backbone} {TITLES[variant]}".replace(" plain", ""))]
        for here in mine.values():
            tests = [one.result.test for one in here]
            tested = tests[0].datasets if tests else ()
            paper = None
            if len(tested) == 1:  # the column may name the folder too
                paper = paper_ablation(tested[0], backbone, variant)
            for key, printed in zip(("accuracy", "auc"), paper or (None, None), strict=True):
                row.append(_spread([test.video[key] for test in tests], printed))
        rows.append(row)
    datasets = distinct(one.dataset for one in trained)
    heads = [f"{dataset} {short}" for dataset in datasets for short in ("ACC", "AUC")]
    return tables.rendered("ablation", ["network", *heads], {"": rows})


def _methods(trained: Sequence[Trained]) -> str:
    """Networks by methods of forgery: AUC, as in the paper's second ablation table."""
    columns = {_column(one, row): row.method for one in trained for row in one.result.test.methods}
    if len(columns) < 2:
        return ""
    groups: dict[str, list[list[str]]] = {}
    for backbone, variant, mine in by_network(trained):
        for dataset, here in mine.items():
            rows = groups.setdefault(f"{dataset}, {backbone}", [])
            if here:
                rows.append([escape(TITLES[variant])])
                for column, method in columns.items():
                    printed = paper_manipulation(method, variant)
                    rows[-1].append(_spread(_aucs(here, column), printed))
    return (
        "<h3>By method of forgery</h3>"
        '<p class="soft">The paper does not say in our source whether its numbers are ACC or AUC.'
        f"</p>{tables.rendered('manipulations', ['AUC of videos', *columns], groups)}"
    )


def _column(one: Trained, row: MethodNumbers) -> str:
    """A method's name, with its dataset and compression where the test split has several."""
    dataset = row.dataset if len(one.result.test.datasets) > 1 else ""
    several = len({other.compression for other in one.result.test.methods}) > 1
    parts = (dataset, row.compression if several else "", SHORT.get(row.method, row.method))
    return " ".join(part for part in parts if part)


def _aucs(trained: Sequence[Trained], column: str) -> list[float]:
    return [
        row.video["auc"]
        for one in trained
        for row in one.result.test.methods
        if _column(one, row) == column
    ]


def _spread(values: Sequence[float], printed: float | None) -> str:
    """Mean, standard deviation over seeds, and the paper's number."""
    if not values:
        return tables.NONE
    small = [f"± {stdev(values):.4f}"] if len(values) > 1 else []
    small += [f"paper {printed:.4f}"] if printed is not None else []
    return f"{mean(values):.4f}" + "".join(f"<small>{words}</small>" for words in small)


def _comparison(file: Path, known: set[str]) -> str:
    if not file.is_file():
        return ""
    found: dict[str, Any] = read_json(file)
    shown = [
        f"<h3>{escape(dataset['title'])}</h3>{dataset_table(found, dataset)}"
        for dataset in found["datasets"]
        if known & set(dataset["title"].split(", "))
        and any(cell.get("test") for cell in dataset["cells"].values())
    ]
    if not shown:
        return ""
    return (
        "<section><h2>Beside other methods</h2>"
        '<p class="soft">By <code>python -m keras_ddl.compare</code>: trained and judged under one '
        "protocol, which stands with the settings and a picture in "
        f"<code>{escape(str(file.parent / 'comparison.html'))}</code>. "
        f"Best of each column in bold.</p>{''.join(shown)}</section>"
    )
