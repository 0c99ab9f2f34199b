"""Xception, frame by frame: the baseline of FaceForensics++.

Source: Rössler et al., "FaceForensics++: Learning to Detect Manipulated Facial Images", ICCV 2019:
ImageNet weights, 299 px, a square crop of 1.3 times the face, values in [−1, 1], Adam at 2e-4,
batch 32, 3 epochs of the head alone, then 15.

Our choice: a batch of 4 clips of 8 frames has the 32 pictures; the frames' predictions are
averaged.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.networks.backbones.applications import application
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_network import frame_network

METHOD = Method(
    title="Xception",
    temporal=False,
    source="Rössler et al. 2019",
    values={
        "weights": "imagenet",
        "size": 299,
        "batch": 4,
        "learning_rate": 2e-4,
        "halve_every": 0,
        "frozen_epochs": 3,
        "epochs": 18,
    },
)


def build(size: int = 299, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average; size at least 71."""
    return frame_network("xception", application("Xception", size, weights, width), size, frames)
