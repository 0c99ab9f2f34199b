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
    "gamma": 0.3,  # at 0, as in the paper, the modules sleep for most of so short a training
    "synthetic_videos": (60, 20, 20),
    "synthetic_difficulty": 0.0,
}

_EDGE = {
    "backbone": "efficientnet_lite0",
    "size": 224,
    "frames": 4,
    "interval_ms": 33.0,
    "longest_interval_ms": 100.0,
    "clips_per_video": 12,
    "detector": "yunet",
    "localise": "stage6",
    "by_map": True,
    "localise_weight": 3.0,
    "pseudo_fakes": "mixed",
    "false_alarms": 0.05,
    # What pseudo-fakes draw themselves, for both twins alike:
    "brightness": 0.0,
    "contrast": 0.0,
    "shift": 0.0,
    # Without them a blurred or noisy real is taken for a forgery (docs/real.md).
    "blur": 0.5,
    "noise": 0.3,
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
        expected="generated set, difficulty 0: video AUC 0.995 to 1.00 on validation, 0.965 to "
        "1.00 on test (docs/demo.md)",
        values=_SMALL,
    ),
    "ablation": Preset(
        source="this project: the cpu preset, under a name of its own for trainings by the dozen",
        hardware="two CPU cores",
        expected="docs/ablation.md",
        values=_SMALL,
    ),
    "edge-frames": Preset(
        source="this project: EfficientNet-Lite0 from ImageNet, judging single frames of real "
        "videos and of pseudo-fakes made of them; the first step of edge",
        hardware="two CPU cores, or one GPU",
        expected="docs/real.md",
        values={
            **_EDGE,
            "network": "frames",
            "weights": "imagenet",
            "single_frames": True,
            "batch": 32,
            "epochs": 18,
            "learning_rate": 7e-4,
            "halve_every": 6,
            "warmup_steps": 60,
            "ema": 0.99,
        },
    ),
    "edge": Preset(
        source="this project: from edge-frames, DFDC and MSA at the narrow ends of late stages, "
        "clips of 10 to 60 frames a second",
        hardware="two CPU cores, or one GPU",
        expected="docs/real.md",
        values={
            **_EDGE,
            "begin": "edge-frames",
            "stages": ("stage5", "stage6"),
            "rest_before": "stage5",
            "batch": 8,
            "epochs": 5,
            "learning_rate": 2e-4,
            "halve_every": 2,
            "warmup_steps": 60,
            "ema": 0.99,
        },
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
