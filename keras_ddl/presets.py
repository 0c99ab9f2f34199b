"""Named training configurations, as data: where each comes from, what it needs, what it gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A named configuration.

    Args:
        source: Where the values come from.
        hardware: What it is meant to run on.
        expected: What it gave, and on what; "not measured" where it was not.
        values: `TrainConfig` keys that differ from its defaults.
    """

    source: str
    hardware: str = "one GPU"
    expected: str = "not measured"
    values: Mapping[str, Any] = field(default_factory=dict)


_SMALL = {
    "width": 0.25,
    "size": 64,
    "clips_per_video": 6,
    "batch": 8,
    "epochs": 9,
    "halve_every": 6,
    "twins": True,
    "synthetic_videos": (60, 20, 20),
    "synthetic_difficulty": 0.0,
}

PRESETS: dict[str, Preset] = {
    "paper": Preset(
        source="the paper's settings: T 8, 256 px, batch 12, Adam 1e-3 halved every 8 epochs, "
        "20 epochs, cross-entropy",
        hardware="one GPU",
        expected="not measured",
    ),
    "cpu": Preset(
        source="this project: the compact network, narrow and small",
        hardware="two CPU cores",
        expected="generated set, difficulty 0: validation and test video AUC 1.000 (docs/demo.md)",
        values=_SMALL,
    ),
    "ablation": Preset(
        source="this project: the cpu preset, under a name of its own for trainings by the dozen",
        hardware="two CPU cores",
        expected="docs/ablation.md",
        values=_SMALL,
    ),
    "smoke": Preset(
        source="this project: shows that the chain holds together, learns nothing",
        hardware="any",
        expected="seconds; AUC near chance",
        values={
            **_SMALL,
            "width": 0.125,
            "size": 32,
            "clips_per_video": 2,
            "batch": 4,
            "epochs": 1,
            "synthetic_videos": (4, 2, 2),
        },
    ),
}
