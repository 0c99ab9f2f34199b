"""`settings_rows`: what each training of a comparison was set to."""

from __future__ import annotations

from typing import Any

from keras_ddl.comparison.table import NONE
from keras_ddl.config import TrainConfig

SHOWN = (
    *("preset", "network", "frames", "size", "interval_ms", "weights", "learning_rate", "batch"),
    *("epochs", "frozen_epochs", "seed", "synthetic_videos", "synthetic_difficulty"),
    "synthetic_seed",
)
"""Settings that have a column, or say what is trained on what."""


def settings_rows(comparison: dict[str, Any]) -> tuple[tuple[str, ...], list[list[str]]]:
    """What the trainings were set to: heads, and a line of plain text per method."""
    heads = (
        *("method", "looks at frames", "clip", "starts from", "learning rate", "batch", "epochs"),
        *("seed", "other settings"),
    )
    lines = []
    for method in comparison["methods"]:
        config = method["config"]
        if not config:
            lines.append([method["title"], *[NONE] * (len(heads) - 1)])
            continue
        resting = config["frozen_epochs"]
        head_only = f", {resting} of the head alone" if resting else ""
        lines.append(
            [
                method["title"],
                "together" if method["temporal"] else "one by one",
                f"{config['frames']} of {config['size']} px, {config['interval_ms']:g} ms",
                config["weights"] or "nothing",
                f"{config['learning_rate']:g}",
                str(config["batch"]),
                f"{config['epochs']}{head_only}",
                str(config["seed"]),
                _unusual(config),
            ]
        )
    return heads, lines


def _unusual(config: dict[str, Any]) -> str:
    """Settings that differ from the defaults and have no column."""
    usual = TrainConfig().to_dict()
    return ", ".join(
        f"{key}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for key, value in config.items()
        if value != usual.get(key) and key not in SHOWN
    )
