"""DIL: ResNet-50 that compares frames within short snippets, and the snippets with each other.

Source: Gu et al., "Delving into the Local: Dynamic Inconsistency Learning for DeepFake Video
Detection", AAAI 2022; no code. Public: ImageNet ResNet-50, 4 snippets of 4 frames in training and 8
in tests, 224 px; the two modules of `dil_modules` in turn, one before the 3×3 convolution of each
bottleneck; Adam at 1e-4, 10 videos per batch, 30 epochs.

Our choice: the 16 frames of a clip are consecutive and cut into 4 snippets, in tests as in
training, where the original samples snippets over the video; squeezing by 16 to at least 8 channels
and kernels of 3 taps, as neither is public; the logits come of the mean features of all frames. The
learning rate is not lowered.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import FramesToClip
from keras_ddl.networks.backbones.applications import application
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.dil_modules import InterSIM, IntraSIM
from keras_ddl.networks.zoo.parts.frame_network import backbone_maps

SNIPPET = 4  # frames
REDUCTION, TAPS = 16, 3
BLOCKS = {2: 3, 3: 4, 4: 6, 5: 3}  # stage of Keras' ResNet50: bottlenecks

METHOD = Method(
    title="DIL",
    temporal=True,
    source="Gu et al. 2022",
    values={
        "weights": "imagenet",
        "size": 224,
        "frames": 16,
        "batch": 10,
        "learning_rate": 1e-4,
        "halve_every": 0,
        "epochs": 30,
    },
)


def build(size: int = 224, frames: int = 16, weights: str | None = None, width: float = 1.0) -> Any:
    """ResNet-50 with a module in each bottleneck, under the mean of the frames' features.

    The size is at least 32, the frames a multiple of 4 and at least 8, two snippets, else a
    ValueError.
    """
    if frames < 2 * SNIPPET or frames % SNIPPET:
        raise ValueError(
            f"dil: frames must be a multiple of {SNIPPET} and at least {2 * SNIPPET}, as snippets "
            f"of {SNIPPET} frames are compared; got {frames}"
        )
    layers, backbone = keras.layers, application("ResNet50", size, weights, width)
    modules = alternating(frames // SNIPPET)
    clip, x = backbone_maps(backbone, size, frames, before_each_3x3(), modules)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    x = FramesToClip(frames, name="frames_to_clip")(x)  # (B, U·T, C)
    x = layers.GlobalAveragePooling1D(name="clip_features")(x)
    return keras.Model(clip, layers.Dense(2, dtype="float32", name="logits")(x), name="dil")


def before_each_3x3() -> dict[str, str]:
    """Bottleneck → the layer of Keras' ResNet50 that feeds its 3×3 convolution, in order."""
    names = [f"conv{stage}_block{i + 1}" for stage, count in BLOCKS.items() for i in range(count)]
    return {name: f"{name}_1_relu" for name in names}


def alternating(snippets: int) -> Any:
    """What puts the module of its bottleneck onto a layer's output: Intra-SIM in the first."""
    order = list(before_each_3x3())

    def with_module(x: Any, block: str) -> Any:
        if order.index(block) % 2:
            return InterSIM(snippets, SNIPPET, REDUCTION, name=f"{block}_inter_sim")(x)
        return IntraSIM(SNIPPET, REDUCTION, TAPS, name=f"{block}_intra_sim")(x)

    return with_module
