"""A report finds the ablation and the comparison of its own data, and no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keras_ddl.comparison.related_results import beside

ABLATION = {
    "about": "resnet18.",
    "cells": [
        {
            "dataset": "DFDC",
            "datasets": ["DFDC"],
            "backbone": "resnet18",
            "variant": "none",
            "test": {"video": {"accuracy": 0.75, "auc": 0.8125}},
            "methods": {},
        }
    ],
}


def write(file: Path, content: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content))


def test_nothing_where_nothing_lies(tmp_path: Path) -> None:
    assert beside(tmp_path / "run", ["DFDC"]) == ()


def test_the_ablation_of_the_same_data(tmp_path: Path) -> None:
    write(tmp_path / "ablation" / "ablation.json", ABLATION)
    assert beside(tmp_path / "run", ["Celeb-DF-v2"]) == ()
    (section,) = beside(tmp_path / "run", ["Celeb-DF-v2", "DFDC"])
    assert "0.8125<small>paper 0.8575</small>" in section


def test_the_comparison_of_the_same_data(
    tmp_path: Path, made_up: Callable[..., dict[str, Any]]
) -> None:
    found = made_up({"x": ("X & Y", 2.0, {"Celeb-DF-v2": 0.95, "DFDC": "broke"})})
    write(tmp_path / "compare" / "comparison.json", found)
    assert beside(tmp_path / "run", ["DFDC"]) == ()  # nobody has a result there
    (section,) = beside(tmp_path / "run", ["Celeb-DF-v2"])
    assert "X &amp; Y" in section and "<td>0.9500<small>" in section and "<h3>DFDC" not in section


def test_a_run_of_a_comparison_shows_that_one(
    tmp_path: Path, made_up: Callable[..., dict[str, Any]]
) -> None:
    found = made_up({"x": ("X", 2.0, {"DFDC": 0.75})})
    write(tmp_path / "mine" / "comparison.json", found)
    (section,) = beside(tmp_path / "mine" / "set" / "x", ["DFDC"])
    assert "<td>0.7500<small>" in section and str(tmp_path / "mine" / "comparison.html") in section
