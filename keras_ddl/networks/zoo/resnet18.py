"""ResNet18, frame by frame: the smaller of the paper's two backbones without its modules.

Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, in torchvision's
layout; the paper's ablation trains it on FaceForensics++, Celeb-DF and DFDC.

Our choice: the frames' predictions are averaged; no ImageNet weights ship with Keras, a `.h5` or
the authors' tensors load through `keras_ddl.import_released`.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.networks.backbones import resnet18
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_network import frame_network

METHOD = Method(
    title="ResNet18",
    temporal=False,
    source="the paper's training, on whole frames' predictions",
    values={"size": 224},
)


def build(size: int = 224, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average; size at least 32, weights None."""
    return frame_network("resnet18", resnet18.build(size, weights, width), size, frames)
