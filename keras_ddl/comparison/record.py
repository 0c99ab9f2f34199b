"""Record of a matrix so far; a comparison's as `comparison.json`, `.md`, `.html`, pictures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from keras_ddl import __version__
from keras_ddl.comparison.cell import Cell, Result
from keras_ddl.comparison.costs import Costs
from keras_ddl.comparison.datasets import Dataset
from keras_ddl.comparison.entrants import Entrant, about
from keras_ddl.comparison.page import dataset_picture, markdown, page, picture_file
from keras_ddl.comparison.picture import standalone
from keras_ddl.config import DDL
from keras_ddl.edge.files import write_json, write_text

FORMAT = 1
PAGE = "comparison.html"


@dataclass(frozen=True)
class Speed:
    """What was measured of an exported graph.

    Args:
        clips_per_second: Above 0.
        seconds: Per clip, as measured.
    """

    clips_per_second: float
    seconds: Sequence[float]


@dataclass
class Record(ABC):
    """What is known; results themselves lie in the run folders and are read from there.

    Args:
        out: Folder of the matrix.
        command: What was called.
        git: Commit of the program.
        datasets, entrants: Who is trained and judged on what.
        cells: Those that have a configuration.
        costs: An entrant's network → what it costs.
        speeds: Entrant → what was measured.
        speed_error: Why there is no speed.
        errors: Entrant, or entrant and dataset → why there is no result.
        export_errors: Entrant and dataset → why there is no bundle.
    """

    kind: ClassVar[str] = ""  # what progress bars call it

    out: Path
    command: str
    git: str | None
    datasets: Sequence[Dataset]
    entrants: Sequence[Entrant]
    cells: Sequence[Cell]
    costs: dict[str, Costs] = field(default_factory=dict)
    speeds: dict[str, Speed] = field(default_factory=dict)
    speed_error: str = ""
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    export_errors: dict[tuple[str, str], str] = field(default_factory=dict)

    @abstractmethod
    def write(self) -> None:
        """Write all files, each whole or not at all; called after every cell."""

    def program(self) -> dict[str, str | None]:
        """Return what made this."""
        return {"version": __version__, "git": self.git}

    def error(self, entrant: str, dataset: str) -> str:
        """Return why a cell has no result; empty where nothing went wrong."""
        return self.errors.get((entrant, dataset)) or self.errors.get((entrant, ""), "")


@dataclass
class Comparison(Record):
    """The methods side by side.

    Args:
        overrides: What is set for all methods.
    """

    kind = "comparison"

    overrides: Sequence[str] = ()

    def write(self) -> None:
        """Write page, Markdown, pictures and data."""
        found = self.to_dict()
        for dataset in found["datasets"]:
            if drawn := dataset_picture(found, dataset):
                write_text(self.out / picture_file(dataset), standalone(drawn))
        write_text(self.out / "comparison.md", markdown(found))
        write_text(self.out / PAGE, page(found))
        write_json(self.out / "comparison.json", found)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as `docs/comparison.md` describes it."""
        return {
            "format": FORMAT,
            "program": self.program(),
            "command": self.command,
            "overrides": list(self.overrides),
            "speed_error": self.speed_error,
            "methods": [self._method(entrant) for entrant in self.entrants],
            "datasets": [self._dataset(dataset) for dataset in self.datasets],
        }

    def _method(self, entrant: Entrant) -> dict[str, Any]:
        method = about(entrant.name, entrant.preset)
        costs, speed = self.costs.get(entrant.network), self.speeds.get(entrant.name)
        return {
            "name": entrant.name,
            "title": method.title,
            "row": method.row,
            "own": entrant.name == DDL,
            "temporal": method.temporal,
            "source": method.source,
            "preset": entrant.preset,
            "config": None if entrant.refusal else entrant.config.to_dict(),
            "parameters": costs.parameters if costs else None,
            "gmac": costs.gmac if costs else None,
            "cost_error": costs.cost_error if costs else "",
            "clips_per_second": None,
            **(asdict(speed) if speed else {}),
        }

    def _dataset(self, dataset: Dataset) -> dict[str, Any]:
        found = {cell.entrant.name: cell.result() for cell in self.cells if cell.dataset == dataset}
        return {
            "name": dataset.name,
            "title": dataset.title,
            "root": str(dataset.root),
            "layout": dataset.layout,
            "synthetic": dataset.synthetic,
            "cells": {
                entrant.name: {
                    **_facts(found.get(entrant.name)),
                    **self._told(entrant.name, dataset.name),
                }
                for entrant in self.entrants
            },
        }

    def _told(self, method: str, dataset: str) -> dict[str, str]:
        """What went wrong with a cell, if anything did."""
        lines = {
            "error": self.error(method, dataset),
            "export_error": self.export_errors.get((method, dataset), ""),
        }
        return {name: line for name, line in lines.items() if line}


def _facts(result: Result | None) -> dict[str, Any]:
    """What the comparison keeps of a result; empty where there is none yet."""
    if result is None:
        return {}
    kept = asdict(result)
    test = {**kept["test"]}
    for name in ("datasets", "methods"):
        del test[name]
    del kept["validation_video_auc"]
    return {**kept, "test": test}
