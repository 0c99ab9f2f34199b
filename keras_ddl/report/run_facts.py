"""`RunFacts`: all that the files of a run say about its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.edge.files import read_json
from keras_ddl.evaluation.hardest import WRONG_VIDEOS, hardest
from keras_ddl.robustness import known_robustness
from keras_ddl.runs import CONFIG


@dataclass(frozen=True)
class RunFacts:
    """What a run's files say.

    Args:
        name: Of the run.
        config: The training's configuration.
        spec: `clipspec.json`.
        manifest, metrics: Those files; empty where they are not there.
        test: `test.json` of these very weights, or None.
        stress: `robustness.json` of these very weights, or None.
        hardest: Validation videos and in how many epochs they were wrong; None where nobody kept
            record.
    """

    name: str
    config: TrainConfig
    spec: dict[str, Any]
    manifest: dict[str, Any]
    metrics: dict[str, Any]
    test: dict[str, Any] | None
    stress: dict[str, Any] | None
    hardest: list[tuple[str, int]] | None

    @classmethod
    def read(cls, run: Path) -> RunFacts:
        """Gather them from a run folder.

        Raises:
            UserError: If a file is damaged, or the configuration or the spec is missing.
        """

        def optional(name: str) -> dict[str, Any]:
            return dict(read_json(run / name)) if (run / name).is_file() else {}

        spec = read_json(run / "clipspec.json")
        test, wrong = optional("test.json"), run / WRONG_VIDEOS
        return cls(
            name=run.name,
            config=TrainConfig.from_dict(read_json(run / CONFIG)["config"]),
            spec=spec,
            manifest=optional("manifest.json"),
            metrics=optional("metrics.json"),
            test=test if test.get("weights_sha256") == spec["weights_sha256"] else None,
            stress=known_robustness(run, spec["weights_sha256"]),
            hardest=hardest(wrong) if wrong.is_file() else None,
        )
