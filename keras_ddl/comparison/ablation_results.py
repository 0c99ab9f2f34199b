"""An ablation's results: networks with and without each module, as Markdown and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from statistics import mean, stdev
from typing import Any

from keras_ddl.comparison.cell import Cell, MethodNumbers, Result, Tested
from keras_ddl.comparison.record import Record
from keras_ddl.edge.files import write_json, write_text
from keras_ddl.evaluation.tables import markdown_table
from keras_ddl.networks.ablations import TITLES, VARIANTS

SUMMARY = "ablation.json"
TABLE = "table.md"


@dataclass(frozen=True)
class Trained:
    """One training of an ablation, as `ablation.json` has it.

    Args:
        dataset: What tables call its data.
        backbone: The network that the modules went into.
        variant: A key of `VARIANTS`.
        seed: Of the training.
        run: Its run folder, below the ablation's.
        parameters: Trainable numbers; None where they are not known.
        result: What it came to.
    """

    dataset: str
    backbone: str
    variant: str
    seed: int
    run: str
    parameters: int | None
    result: Result

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Trained:
        """Take one of the cells of `ablation.json`."""
        test = found["result"]["test"]
        methods = tuple(MethodNumbers(**row) for row in test["methods"])
        kept = {**found["result"], "test": Tested(**{**test, "methods": methods})}
        return cls(**{**found, "result": Result(**kept)})


@dataclass
class Ablation(Record):
    """The variants of a network, side by side."""

    kind = "ablation"

    def write(self) -> None:
        """Write `table.md` and `ablation.json`, once there is anything to write."""
        trained = self.trained()
        if not trained:
            return
        found = {
            "program": self.program(),
            "command": self.command,
            "about": self.about(trained),
            "errors": self.failures(),
            "cells": [asdict(one) for one in trained],
        }
        write_text(self.out / TABLE, self.markdown(trained) + "\n")
        write_json(self.out / SUMMARY, found)

    def trained(self) -> list[Trained]:
        """Return what is finished, in the order of the matrix."""
        return [one for cell in self.cells if (one := self._trained(cell))]

    def failures(self) -> list[str]:
        """Return why some have no result, a line each."""
        return [
            f"{cell.entrant.title} on {cell.dataset.title}: {reason}"
            for cell in self.cells
            if (reason := self.error(cell.entrant.name, cell.dataset.name))
        ]

    def markdown(self, trained: Sequence[Trained]) -> str:
        """Return table, failures and what was trained."""
        failed = [f"- {line}" for line in self.failures()]
        return "\n".join([table(trained), "", *failed, *[""] * bool(failed), self.about(trained)])

    def about(self, trained: Sequence[Trained]) -> str:
        """Return what was trained and tested, in a line."""
        config = self.cells[0].entrant.config
        datasets = distinct(one.dataset for one in trained)
        seeds = len({one.seed for one in trained})
        spread = f"mean ± sd over {seeds} seeds" if seeds > 1 else "one seed"
        tests = {one.dataset: one.result.test.video for one in trained}
        counts = [
            f"{name}: {tests[name]['real']} real and {tests[name]['fake']} fake test videos"
            for name in datasets
        ]
        if len({words.rpartition(": ")[2] for words in counts}) == 1:
            counts = [counts[0].rpartition(": ")[2]]
        drawn = "; d = difficulty" if any(dataset.overrides for dataset in self.datasets) else ""
        return (
            f"{', '.join(distinct(one.backbone for one in trained))}, width {config.width:g}, "
            f"{config.size} px, {config.frames} frames, {config.epochs} epochs; {spread}; "
            f"{'; '.join(counts)}{drawn}."
        )

    def _trained(self, cell: Cell) -> Trained | None:
        result, config = cell.result(), cell.entrant.config
        costs = self.costs.get(cell.entrant.network)
        if result is None:
            return None
        return Trained(
            dataset=cell.dataset.title,
            backbone=config.backbone,
            variant=next(name for name, used in VARIANTS.items() if used == config.modules),
            seed=config.seed,
            run=str(cell.run.relative_to(self.out)),
            parameters=costs.parameters if costs else None,
            result=result,
        )


def table(trained: Sequence[Trained]) -> str:
    """Return the paper's table in Markdown: video-level test ACC and AUC, mean ± sd over seeds."""
    datasets = distinct(one.dataset for one in trained)
    one_backbone = len({one.backbone for one in trained}) == 1
    heads = [f"{name} {short}" for name in datasets for short in ("ACC", "AUC")]
    rows = []
    for backbone, variant, mine in by_network(trained):
        videos = {name: [one.result.test.video for one in mine[name]] for name in datasets}
        columns = [
            _spread([video[key] for video in videos[name]])
            for name in datasets
            for key in ("accuracy", "auc")
        ]
        seconds = mean(one.result.training_seconds for name in datasets for one in mine[name])
        title = TITLES[variant]
        words = title if one_backbone else f"{backbone} {title.removeprefix('plain')}"
        rows.append([words.strip(), *columns, f"{seconds:.0f}"])
    return markdown_table(["network", *heads, "training, s"], rows)


def by_network(trained: Sequence[Trained]) -> Iterator[tuple[str, str, dict[str, list[Trained]]]]:
    """Yield backbone, variant and, dataset by dataset, the trainings, a row of a table each."""
    datasets = distinct(one.dataset for one in trained)
    for backbone, variant in product(distinct(one.backbone for one in trained), TITLES):
        mine = [one for one in trained if (one.backbone, one.variant) == (backbone, variant)]
        if mine:
            rows = {name: [one for one in mine if one.dataset == name] for name in datasets}
            yield backbone, variant, rows


def distinct(values: Iterable[str]) -> list[str]:
    """Return each value once, in the order in which they first come."""
    return list(dict.fromkeys(values))


def _spread(values: Sequence[float]) -> str:
    """Return mean ± sample standard deviation; one value has none."""
    if not values:
        return "–"
    deviation = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{mean(values):.3f}{deviation}"
