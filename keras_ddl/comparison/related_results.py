"""Related results: an ablation's and a comparison's on the data that a run is tested on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from keras_ddl.comparison.ablation_results import SUMMARY, Trained, by_network, distinct
from keras_ddl.comparison.cell import MethodNumbers
from keras_ddl.comparison.page import dataset_table
from keras_ddl.edge.files import read_json
from keras_ddl.edge.pages import Cell, Row, Small, Table
from keras_ddl.evaluation.tables import NONE, SHORT
from keras_ddl.networks.ablations import TITLES
from keras_ddl.report.content import Related
from keras_ddl.report.paper import paper_ablation, paper_manipulation

ABLATION = Path("ablation") / SUMMARY
COMPARISON = Path("compare/comparison.json")


def related_results(run: Path, datasets: Iterable[str]) -> tuple[Related, ...]:
    """Read what lies in the folder of runs; a run of a matrix finds the one it is part of.

    Args:
        run: The run folder.
        datasets: What it is tested on, as the keys of videos name them.

    Returns:
        Sections for the report; none where nothing was found on these data.
    """
    known = set(datasets)
    found = []
    for file, section in ((ABLATION, _ablation), (COMPARISON, _comparison)):
        own = run.parent.parent / file.name
        path = own if own.is_file() else run.parent / file
        found.append(section(path, known) if path.is_file() else None)
    return tuple(section for section in found if section)


def _ablation(file: Path, known: set[str]) -> Related | None:
    """Return the paper's two ablation tables, of trainings on known datasets."""
    from markupsafe import Markup

    found = read_json(file)
    trained = [Trained.from_json(cell) for cell in found["cells"]]
    trained = [one for one in trained if known & set(one.result.test.datasets)]
    if not trained:
        return None
    about = Markup(
        "Of the trainings by <code>python -m keras_ddl.ablation</code>, not of this run alone: {} "
        "Videos; beneath, the paper's numbers where it has some."
    ).format(found["about"])
    return Related(
        "What the modules add", about, [("", "", _networks(trained)), *_methods(trained)]
    )


def _networks(trained: Sequence[Trained]) -> Table:
    """Networks by datasets: ACC and AUC, as in the paper's first ablation table."""
    rows: list[Row] = []
    for backbone, variant, mine in by_network(trained):
        row: list[Cell | str] = [f"{backbone} {TITLES[variant]}".replace(" plain", "")]
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
    return Table("ablation", ["network", *heads], {"": rows})


def _methods(trained: Sequence[Trained]) -> Iterator[tuple[str, str, Table]]:
    """Networks by methods of forgery, where there are two: AUC, as in the paper's second table."""
    columns = {_column(one, row): row.method for one in trained for row in one.result.test.methods}
    if len(columns) < 2:
        return
    groups: dict[str, list[Row]] = {}
    for backbone, variant, mine in by_network(trained):
        for dataset, here in mine.items():
            rows = groups.setdefault(f"{dataset}, {backbone}", [])
            if here:
                numbers = [
                    _spread(_aucs(here, column), paper_manipulation(method, variant))
                    for column, method in columns.items()
                ]
                rows.append([TITLES[variant], *numbers])
    note = "The paper does not say in our source whether its numbers are ACC or AUC."
    heads = ["AUC of videos", *columns]
    yield "By method of forgery", note, Table("manipulations", heads, groups)


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


def _spread(values: Sequence[float], printed: float | None) -> Cell:
    """Mean, standard deviation over seeds, and the paper's number."""
    if not values:
        return Cell(NONE)
    small = [Small(f"± {stdev(values):.4f}")] if len(values) > 1 else []
    small += [Small(f"paper {printed:.4f}")] if printed is not None else []
    return Cell(f"{mean(values):.4f}", small)


def _comparison(file: Path, known: set[str]) -> Related | None:
    """Return the tables of known datasets that somebody has a result on."""
    from markupsafe import Markup

    found: dict[str, Any] = read_json(file)
    shown = [
        (dataset["title"], "", dataset_table(found, dataset))
        for dataset in found["datasets"]
        if known & set(dataset["title"].split(", "))
        and any(cell.get("test") for cell in dataset["cells"].values())
    ]
    about = Markup(
        "By <code>python -m keras_ddl.compare</code>: trained and judged under one protocol, which "
        "stands with the settings and a picture in <code>{}</code>. Best of each column in bold."
    ).format(file.parent / "comparison.html")
    return Related("Beside other methods", about, shown) if shown else None
