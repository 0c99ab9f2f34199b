"""Facts about a run's model, from the files of the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ddl.config import TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json
from keras_ddl.edge.runs import CONFIG
from keras_ddl.evaluation.hardest import WRONG_VIDEOS, hardest
from keras_ddl.evaluation.results import EvaluationResult, RobustnessResult


@dataclass(frozen=True)
class RunFacts:
    """What a run's files say.

    Args:
        name: Of the run.
        config: The training's configuration.
        spec: `clipspec.json`.
        manifest, metrics: Those files; empty where they are not there.
        test: `test.json` of these very weights, or None.
        robustness: `robustness.json` of these very weights, or None.
        hardest: Validation videos and in how many epochs they were wrong; None where nobody kept
            record.
    """

    name: str
    config: TrainConfig
    spec: ClipSpec
    manifest: Mapping[str, Any]
    metrics: Mapping[str, Any]
    test: EvaluationResult | None
    robustness: RobustnessResult | None
    hardest: list[tuple[str, int]] | None

    @classmethod
    def read(cls, run: Path) -> RunFacts:
        """Gather them from a run folder.

        Raises:
            UserError: If a file is damaged, or the configuration or the spec is missing.
        """
        text = json.dumps(read_json(run / "clipspec.json"))
        try:
            spec = ClipSpec.from_json(text)
        except ValueError as error:
            raise UserError(f"{run / 'clipspec.json'}: {error}") from error
        test, wrong = EvaluationResult.read(run), run / WRONG_VIDEOS
        return cls(
            name=run.name,
            config=TrainConfig.from_dict(read_json(run / CONFIG)["config"]),
            spec=spec,
            manifest=_optional(run / "manifest.json"),
            metrics=_optional(run / "metrics.json"),
            test=test if test and test.weights_sha256 == spec.weights_sha256 else None,
            robustness=RobustnessResult.known(run, spec.weights_sha256),
            hardest=hardest(wrong) if wrong.is_file() else None,
        )


def _optional(file: Path) -> dict[str, Any]:
    return dict(read_json(file)) if file.is_file() else {}
