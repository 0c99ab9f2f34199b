"""A comparison with made-up results, as `comparison.json` holds it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keras_ddl.comparison.process import Ended
from keras_ddl.config import TrainConfig, load
from keras_ddl.edge.clipspec import ClipSpec

SPEC = ClipSpec(frames=4, size=32, weights_sha256="a" * 64)

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


class Pretended:
    """Stands in for the commands: leaves what the real commands would.

    Args:
        result: Makes a cell's facts.
    """

    def __init__(self, result: Callable[[float], dict[str, Any]]) -> None:
        self.calls: list[str] = []
        self.failing: dict[str, Ended] = {}
        self.pages: list[str] = []
        self.out = Path()
        self._result = result

    def __call__(self, command: Any, hold: object, alone: bool) -> Any:
        """Stands in for a process, which has ended when it begins."""
        step, arguments = command.step, command.arguments
        words = dict(pairwise(arguments))
        place = Path(words.get("--resume", arguments[0]))
        network = command.log.stem.removeprefix("costs-")
        what = {"costs": network, "speed": "all"}.get(step)
        call = f"{step} {what or f'{place.parent.name}/{place.name}'}"
        self.calls.append(call)
        page = self.out / "comparison.html"
        self.pages += [page.read_text()] if step == "train" and page.exists() else []
        ended = self.failing.get(call, Ended(0))
        if not ended.code:
            getattr(self, step)(arguments, words, place)
        return SimpleNamespace(ended=lambda: ended, terminate=lambda: None, close=lambda: None)

    def costs(self, arguments: Sequence[str], words: dict[str, str], place: Path) -> None:
        found = {"parameters": 1000, "gmac": 0.5, "cost_error": ""}
        Path(words["--out"]).write_text(json.dumps(found))

    def train(self, arguments: Sequence[str], words: dict[str, str], run: Path) -> None:
        run.mkdir(parents=True)
        sets = arguments[arguments.index("--set") + 1 : arguments.index("--prepared")]
        config = load(words["--preset"], overrides=sets).to_dict()
        data = {"prepared": words["--prepared"], "fingerprint": "f" * 64}
        (run / "config.json").write_text(json.dumps({"config": config, "data": data}))
        validation = {"video": {"auc": 0.8}}
        facts = {"best_epoch": 1, "training_seconds": 2.0, "validation": validation}
        (run / "metrics.json").write_text(json.dumps(facts))
        SPEC.write(run / "clipspec.json")

    def evaluate(self, arguments: Sequence[str], words: dict[str, str], run: Path) -> None:
        names = {"dataset": "mine", "method": "swap", "compression": ""}
        part = {**self._result(0.9)["test"], "fingerprint": "f" * 64, "datasets": [names]}
        part["methods"] = [{**names, "video": part["video"]}]
        top = {"calibration": {}, "weights_sha256": "a" * 64, "sets": [part]}
        more = {"threshold": 0.5, "temperature": 1.0}
        (run / "test.json").write_text(json.dumps({**top, **more}))

    def export(self, arguments: Sequence[str], words: dict[str, str], run: Path) -> None:
        (run / "bundle").mkdir()
        shutil.copy(run / "clipspec.json", run / "bundle")
        (run / "bundle" / "model.onnx").write_bytes(run.name.encode())

    def speed(self, arguments: Sequence[str], words: dict[str, str], _: Path) -> None:
        bundles = arguments[: arguments.index("--out")]
        found = {
            bundle: {"clips_per_second": 10.0 + number, "seconds": [0.1]}
            for number, bundle in enumerate(bundles)
        }
        Path(words["--out"]).write_text(json.dumps(found))


@pytest.fixture
def commands(
    monkeypatch: pytest.MonkeyPatch, flicker_set: Path, made_up_result: Any, tmp_path: Path
) -> Pretended:
    pretended = Pretended(made_up_result)
    pretended.out = tmp_path / "out"
    pretended.out.mkdir()
    monkeypatch.setattr("keras_ddl.comparison.process._Process", pretended)
    monkeypatch.setattr("keras_ddl.comparison.datasets.prepared_for", lambda *_, **__: flicker_set)
    return pretended
