"""Model card of a preset: a run's own card under the YAML header that the Hub reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_ddl.evaluation.results import SetResult
from keras_ddl.model_card import card
from keras_ddl.report.run_facts import RunFacts

TASK = "video-classification"
TAGS = ("deepfake-detection", "deepfake-video", "keras", "keras-ddl")
METRICS = {  # the Hub's names → those of `test.json`
    "roc_auc": "auc",
    "accuracy": "accuracy",
    "f1": "f1",
    "average_precision": "average_precision",
}


def hub_card(run: Path, licence: str) -> str:
    """The card of a run with its header; results are those of `test.json`, and none without it."""
    facts = RunFacts.read(run)
    results = [_result(part) for part in facts.test.sets] if facts.test else []
    return header(facts.config.described(), licence, results) + card(facts)


def plain_card(name: str, licence: str) -> str:
    """The card of a network of which no run is known."""
    return header(name, licence, []) + (
        f"# Model card: {name}\n\nSaved with `keras_ddl.save_to_preset`. What it was trained on is "
        "not recorded; nothing was measured.\n"
    )


def header(name: str, licence: str, results: list[dict[str, Any]]) -> str:
    """The YAML between two lines of dashes.

    Args:
        name: What the results are of.
        licence: Of the weights, by its name on the Hub.
        results: As the Hub's `model-index` has them; without any there is none.
    """
    fields: dict[str, Any] = {
        "license": licence,
        "library_name": "keras",
        "pipeline_tag": TASK,
        "tags": list(TAGS),
    }
    if results:
        fields["metrics"] = list(dict.fromkeys(m["type"] for r in results for m in r["metrics"]))
        fields["model-index"] = [{"name": name, "results": results}]
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in fields.items()]
    return "\n".join(("---", *lines, "---", "", ""))  # JSON is YAML, whatever a name holds


def _result(part: SetResult) -> dict[str, Any]:
    return {
        "task": {"type": TASK, "name": "deepfake detection"},
        "dataset": {"name": part.name, "type": part.name, "split": part.split},
        "metrics": list(_metrics(part)),
    }


def _metrics(part: SetResult) -> Iterator[dict[str, Any]]:
    for kind, name in METRICS.items():
        if part.video[name] is not None:
            yield {"type": kind, "name": f"{name} of videos", "value": part.video[name]}
