"""A comparison with made-up results, as `comparison.json` holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from keras_ddl.config import TrainConfig

Make = Callable[..., dict[str, Any]]


def result(value: float, half: float = 0.05, real: int = 40) -> dict[str, Any]:
    """Results in which the video's AUC is `value`, the clip's 0.1 lower, and ACC and F1 lower by
    0.02 and 0.01; intervals reach `half` to both sides."""
    levels = {}
    for level, lower in (("clip", 0.1), ("video", 0.0)):
        auc = round(value - lower, 6)
        numbers = {"accuracy": round(auc - 0.02, 6), "auc": auc, "f1": round(auc - 0.01, 6)}
        levels[level] = {**numbers, "real": real, "fake": 2 * real}
    intervals = {
        level: {
            name: [found[name] - half, min(found[name] + half, 1.0)]
            for name in ("accuracy", "auc", "f1")
        }
        for level, found in levels.items()
    }
    return {
        "test": {**levels, "intervals": intervals, "videos": {"ok": 3 * real, "no face": 2}},
        **{"threshold": 0.4321, "temperature": 1.5, "best_epoch": 3, "training_seconds": 90.0},
    }


@pytest.fixture(scope="session")
def made_up() -> Make:
    """Call: `made_up({"xception": ("Xception", 20.0, {"Celeb-DF-v2": 0.95}), …})`: by method its
    title, its GMAC and by dataset its video AUC, or the reason why there is none; one named `ddl`
    is the paper's own."""

    def make(methods: dict[str, tuple[str, float | None, dict[str, Any]]]) -> dict[str, Any]:
        titles = dict.fromkeys(title for _, _, found in methods.values() for title in found)
        datasets = []
        for number, title in enumerate(titles):
            cells = {}
            for name, (_, _, found) in methods.items():
                value = found.get(title)
                told = {"error": value} if isinstance(value, str) else {}
                cells[name] = result(value) if isinstance(value, float) else told
            place = {"name": f"set{number}", "root": f"/data/{number}", "layout": "folder"}
            datasets.append({"title": title, **place, "synthetic": False, "cells": cells})
        return {
            "program": {"version": "1.2.3", "git": "abc123"},
            "command": "python -m keras_ddl.compare --out <here>",
            **{"overrides": ["epochs=2"], "speed_error": "", "datasets": datasets},
            "methods": [
                {
                    **{"name": name, "title": title, "row": title, "own": name == "ddl"},
                    **{"temporal": name == "ddl", "source": "a paper & a half"},
                    "config": TrainConfig().to_dict(),
                    **{"parameters": 1000 * (place + 1), "gmac": gmac},
                    "clips_per_second": None if gmac is None else 100 / gmac,
                }
                for place, (name, (title, gmac, _)) in enumerate(methods.items())
            ],
        }

    return make


@pytest.fixture(scope="session")
def made_up_result() -> Callable[[float], dict[str, Any]]:
    """Call: `made_up_result(auc)`: a cell's facts."""
    return result
