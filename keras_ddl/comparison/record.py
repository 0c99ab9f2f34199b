"""What a comparison has found so far, as `comparison.json`, `.md`, `.html` and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_ddl import __version__
from keras_ddl.comparison.cell import Cell
from keras_ddl.comparison.datasets import Dataset
from keras_ddl.comparison.entrants import Entrant
from keras_ddl.comparison.page import markdown, page, picture_file
from keras_ddl.comparison.picture import picture, points, standalone
from keras_ddl.config import DDL
from keras_ddl.edge.files import write_json, write_text

FORMAT = 1
PAGE = "comparison.html"


@dataclass
class Record:
    """What is known; results themselves lie in the run folders and are read from there.

    Args:
        out: Folder of the comparison.
        command: What was called.
        overrides: What is set for all methods.
        datasets, entrants: Who is compared on what.
        cells: Those that have a configuration.
        git: Commit of the program.
        costs: Method → what `costs` found.
        speeds: Method → what was measured.
        speed_error: Why there is no speed.
        errors: Method, or method and dataset → why there is no result.
        export_errors: Method and dataset → why there is no bundle.
    """

    out: Path
    command: str
    overrides: Sequence[str]
    datasets: Sequence[Dataset]
    entrants: Sequence[Entrant]
    cells: Sequence[Cell]
    git: str | None
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)
    speeds: dict[str, dict[str, Any]] = field(default_factory=dict)
    speed_error: str = ""
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    export_errors: dict[tuple[str, str], str] = field(default_factory=dict)

    def write(self) -> None:
        """Write all files, each whole or not at all."""
        found = self.to_dict()
        for dataset in found["datasets"]:
            if drawn := points(found, dataset):
                title = f"Accuracy against cost on {dataset['title']}"
                write_text(self.out / picture_file(dataset), standalone(picture(drawn, title)))
        write_text(self.out / "comparison.md", markdown(found))
        write_text(self.out / PAGE, page(found))
        write_json(self.out / "comparison.json", found)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, as `docs/comparison.md` describes it."""
        return {
            "format": FORMAT,
            "program": {"version": __version__, "git": self.git},
            "command": self.command,
            "overrides": list(self.overrides),
            "speed_error": self.speed_error,
            "methods": [self._method(entrant) for entrant in self.entrants],
            "datasets": [self._dataset(dataset) for dataset in self.datasets],
        }

    def _method(self, entrant: Entrant) -> dict[str, Any]:
        about, config = entrant.about, entrant.config
        return {
            "name": entrant.name,
            "title": about.title,
            "row": about.row,
            "own": entrant.name == DDL,
            "temporal": about.temporal,
            "source": about.preset.source,
            "preset": entrant.preset,
            "config": config.to_dict() if config else None,
            **{"parameters": None, "gmac": None, "cost_error": ""},
            **self.costs.get(entrant.name, {}),
            "clips_per_second": None,
            **self.speeds.get(entrant.name, {}),
        }

    def _dataset(self, dataset: Dataset) -> dict[str, Any]:
        facts = {cell.entrant.name: cell.facts() for cell in self.cells if cell.dataset == dataset}
        return {
            "name": dataset.name,
            "title": dataset.title,
            "root": str(dataset.root),
            "layout": dataset.layout,
            "synthetic": dataset.synthetic,
            "cells": {
                entrant.name: {
                    **facts.get(entrant.name, {}),
                    **self._told(entrant.name, dataset.name),
                }
                for entrant in self.entrants
            },
        }

    def _told(self, method: str, dataset: str) -> dict[str, str]:
        """What went wrong with a cell, if anything did."""
        lines = {
            "error": self.errors.get((method, dataset)) or self.errors.get((method, "")),
            "export_error": self.export_errors.get((method, dataset)),
        }
        return {name: line for name, line in lines.items() if line}
