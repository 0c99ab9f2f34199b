"""`Cell`: one method on one dataset, which is an ordinary run folder, and what it still lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ddl.comparison.datasets import Dataset
from keras_ddl.comparison.entrants import Entrant
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_summary
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json
from keras_ddl.runs import CONFIG, INCOMPLETE

BUNDLE = "bundle"
SPEC = "clipspec.json"
EXPORT = "export"


@dataclass(frozen=True)
class Step:
    """One command of the project.

    Args:
        name: `train`, `evaluate` or `export`.
        module: What `python -m` takes.
        arguments: Its arguments.
    """

    name: str
    module: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One method on one dataset.

    Args:
        dataset: The dataset.
        entrant: The method; it has a configuration.
        run: The run folder.
    """

    dataset: Dataset
    entrant: Entrant
    run: Path

    def begun(self) -> bool:
        """Whether there is anything to go on with."""
        return (self.run / CONFIG).is_file()

    def check(self, prepared: Path) -> None:
        """Raise a UserError where what has begun was begun with other settings or clips."""
        if not self.begun():
            return
        kept = read_json(self.run / CONFIG)
        then = TrainConfig.from_dict(kept["config"]).to_dict()
        now = self.entrant.config.to_dict() if self.entrant.config else {}
        changed = [f"{key} {then[key]} → {now[key]}" for key in now if now[key] != then[key]]
        remedy = f"name another --out, or delete {self.run} to begin it anew"
        if changed:
            raise UserError(
                f"{self.run} was begun with other settings: {', '.join(changed)}; {remedy}"
            )
        if kept["data"]["fingerprint"] != read_summary(prepared)["fingerprint"]:
            raise UserError(
                f"{self.run} was begun with other clips than {prepared} holds now: the videos of "
                f"{self.dataset.root} have changed; {remedy}"
            )

    def trained(self) -> bool:
        """Whether the training is complete."""
        return self.begun() and not (self.run / INCOMPLETE).exists()

    def result(self) -> dict[str, Any] | None:
        """Return what `test.json` says of the training's own test split; None where it does not.

        That of other weights, of other data alone, or with a threshold that was not chosen on
        validation, does not count.
        """
        file = self.run / "test.json"
        if not self.trained() or not file.is_file():
            return None
        found = read_json(file)
        if (
            found["calibration"] is None
            or found["weights_sha256"] != self._spec()["weights_sha256"]
        ):
            return None
        fingerprint = read_json(self.run / CONFIG)["data"]["fingerprint"]
        own = (part for part in found["sets"] if part["fingerprint"] == fingerprint)
        return next(({**found, "test": part} for part in own), None)

    def exported(self) -> bool:
        """Whether there is a bundle of these weights, threshold and temperature."""
        spec = self.run / BUNDLE / SPEC
        return spec.is_file() and spec.read_bytes() == (self.run / SPEC).read_bytes()

    def finished(self, export: bool) -> bool:
        """Whether nothing is left to do; `export` asks for a bundle too."""
        return self.result() is not None and (self.exported() or not export)

    def next_step(self, prepared: Path, export: bool) -> Step | None:
        """Return what to run next; None where the cell is finished.

        Args:
            prepared: The clips.
            export: Whether a bundle is wanted.
        """
        run = str(self.run)
        if not self.trained():
            options = (*self.entrant.options(), "--prepared", str(prepared), "--resume", run)
            return Step("train", "keras_ddl.train", options)
        if self.result() is None:
            return Step("evaluate", "keras_ddl.evaluate", (run,))
        if export and not self.exported():
            return Step(EXPORT, "export.to_onnx", (run,))
        return None

    def facts(self) -> dict[str, Any]:
        """Return what the comparison keeps of it; empty where there is no result yet."""
        found = self.result()
        if found is None:
            return {}
        part = found["test"]
        metrics = read_json(self.run / "metrics.json")
        kept = ("clip", "video", "intervals", "videos", "fingerprint")
        return {
            "test": {name: part[name] for name in kept},
            "threshold": found["threshold"],
            "temperature": found["temperature"],
            "weights_sha256": found["weights_sha256"],
            "best_epoch": metrics["best_epoch"],
            "training_seconds": metrics["training_seconds"],
        }

    def _spec(self) -> dict[str, Any]:
        spec: dict[str, Any] = read_json(self.run / SPEC)
        return spec


def cells(datasets: Sequence[Dataset], entrants: Sequence[Entrant], out: Path) -> list[Cell]:
    """Return the matrix, dataset by dataset, without those that have no configuration."""
    return [
        Cell(dataset, entrant, out / dataset.name / entrant.name)
        for dataset in datasets
        for entrant in entrants
        if entrant.config is not None
    ]
