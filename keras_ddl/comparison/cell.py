"""`Cell`: one entrant on one dataset, an ordinary run folder, and the commands it still lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_ddl.comparison.datasets import Dataset
from keras_ddl.comparison.entrants import Entrant
from keras_ddl.comparison.process import Command
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_summary
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json
from keras_ddl.edge.runs import CONFIG, INCOMPLETE
from keras_ddl.evaluation.results import TEST, Intervals, Numbers

BUNDLE = "bundle"
SPEC = "clipspec.json"
EXPORT = "export"


@dataclass(frozen=True)
class MethodNumbers:
    """A method of forgery against the reals of its dataset and compression; videos.

    Args:
        dataset, method, compression: Their names.
        video: What `metrics.report` gives.
    """

    dataset: str
    method: str
    compression: str
    video: Numbers


@dataclass(frozen=True)
class Tested:
    """A test split as one set of `test.json` has it.

    Args:
        clip, video: What `metrics.report` gives.
        intervals: Level and name of a number → its two ends.
        videos: What became of them → how many.
        fingerprint: Of the clips.
        datasets: Their names.
        methods: Those with videos of both classes.
    """

    clip: Numbers
    video: Numbers
    intervals: Intervals
    videos: Mapping[str, int]
    fingerprint: str
    datasets: tuple[str, ...]
    methods: tuple[MethodNumbers, ...]

    @classmethod
    def from_set(cls, found: Mapping[str, Any]) -> Tested:
        """Take one of the sets of `test.json`."""
        kept = ("clip", "video", "intervals", "videos", "fingerprint")
        return cls(
            **{name: found[name] for name in kept},
            datasets=tuple(row["dataset"] for row in found["datasets"]),
            methods=tuple(
                MethodNumbers(row["dataset"], row["method"], row["compression"], row["video"])
                for row in found["methods"]
                if row["video"]
            ),
        )


@dataclass(frozen=True)
class Result:
    """What a finished cell came to.

    Args:
        test: Its own test split.
        threshold, temperature: Chosen on validation.
        weights_sha256: Of the weights that were judged.
        best_epoch: From 1.
        training_seconds: Wall time of the training.
        validation_video_auc: At the best epoch.
    """

    test: Tested
    threshold: float
    temperature: float
    weights_sha256: str
    best_epoch: int
    training_seconds: float
    validation_video_auc: float


@dataclass(frozen=True)
class Cell:
    """One entrant on one dataset.

    Args:
        dataset: The dataset.
        entrant: The network and its settings; it has a configuration.
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
        now = self.entrant.config.to_dict()
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

    def result(self) -> Result | None:
        """Return what the run folder says of the training's own test split; None where it does not.

        That of other weights, of other data alone, of one class alone, or with a threshold that was
        not chosen on validation, does not count.
        """
        file = self.run / TEST
        if not self.trained() or not file.is_file():
            return None
        found = read_json(file)
        weights = read_json(self.run / SPEC)["weights_sha256"]
        if found["calibration"] is None or found["weights_sha256"] != weights:
            return None
        fingerprint = read_json(self.run / CONFIG)["data"]["fingerprint"]
        own = next((part for part in found["sets"] if part["fingerprint"] == fingerprint), None)
        if own is None or own["video"]["auc"] is None:
            return None
        metrics = read_json(self.run / "metrics.json")
        return Result(
            test=Tested.from_set(own),
            threshold=found["threshold"],
            temperature=found["temperature"],
            weights_sha256=weights,
            best_epoch=metrics["best_epoch"],
            training_seconds=metrics["training_seconds"],
            validation_video_auc=metrics["validation"]["video"]["auc"],
        )

    def exported(self) -> bool:
        """Whether there is a bundle of these weights, threshold and temperature."""
        spec = self.run / BUNDLE / SPEC
        return spec.is_file() and spec.read_bytes() == (self.run / SPEC).read_bytes()

    def finished(self, export: bool) -> bool:
        """Whether nothing is left to do; `export` asks for a bundle too."""
        return self.result() is not None and (self.exported() or not export)

    def next_command(self, prepared: Path, export: bool) -> Command | None:
        """Return what to run next; None where the cell is finished.

        Args:
            prepared: The clips.
            export: Whether a bundle is wanted.
        """
        run = str(self.run)
        log = self.run.with_name(f"{self.run.name}.log")  # the run folder is the training's own
        if not self.trained():
            options = (*self.entrant.options(), "--prepared", str(prepared), "--resume", run)
            return Command("train", options, log)
        if self.result() is None:
            return Command("evaluate", (run,), log)
        if export and not self.exported():
            return Command(EXPORT, (run,), log)
        return None


def cells(datasets: Sequence[Dataset], entrants: Sequence[Entrant], out: Path) -> list[Cell]:
    """Return the matrix, dataset by dataset, without those that have no configuration."""
    return [
        Cell(
            dataset,
            replace(entrant, overrides=(*entrant.overrides, *dataset.overrides)),
            out / dataset.name / entrant.name,
        )
        for dataset in datasets
        for entrant in entrants
        if entrant.refusal is None
    ]
