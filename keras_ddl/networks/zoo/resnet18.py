"""ResNet18, frame by frame: the smaller of the paper's two backbones without its modules.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, in torchvision's
layout; the paper's ablation trains it on FaceForensics++, Celeb-DF and DFDC.

Our choice: the frames' predictions are averaged; no ImageNet weights ship with Keras, a `.h5` or
the authors' tensors load through `keras_ddl.import_released`.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_network import frame_network
from keras_ddl.presets import Preset

METHOD = Method(
    title="ResNet18",
    row="ResNet18",
    temporal=False,
    preset=Preset(
        source="the paper's training, on whole frames' predictions",
        values={"network": "resnet18", "size": 224},
    ),
)


def build(size: int = 224, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average.

    Args:
        size: Side of the crops in pixels, at least 32.
        weights: None.

    Raises:
        ValueError: weights other than None, size below 32.
    """
    from keras_ddl.networks.backbones.resnet18 import build as build_backbone

    return frame_network("resnet18", build_backbone(size, weights, width), size, frames)
