"""CLRNet: a residual network of 50 layers in which every convolution is a convolutional LSTM.

Source: Tariq et al., "A Convolutional LSTM based Residual Network for Deepfake Video Detection",
2020, and the network as its authors release it (github.com/shahroztariq/CLRNet). Public: a start of
7 × 7 with stride 2, batch norm, ReLU and max pooling of 3 × 3 pixels with stride 3; stages of 3, 4,
6 and 3 bottlenecks with batch norm and ReLU before each convolution, but for the network's first
block, which opens with a bare 3 × 3; a stride of 2 where a stage begins, the first included, beside
a shortcut of 1 × 1 with batch norm; a last batch norm, the mean over time and image; dropout 0.25
after the first and second convolution of a block and before the logits; He's initial kernels with
an L2 penalty of 1e-4; 240 px, values in [0, 1], clips of 5 consecutive frames changed alike, 16 of
them a batch, Adam at 5e-5.

Ours: 8 frames, as a clip here is a multiple of 4; the house's augmentation and 20 epochs (theirs:
turned, zoomed and mirrored clips of shifted colours, up to 300 epochs, weighted classes); two
logits and their cross-entropy, where theirs is the binary one of two softmax outputs. Every
convolution is `FrameConvLSTM`, the same function in a form that exports without loops.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import FramesToClip
from keras_ddl.networks.backbones.backbone import scaled
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_conv_lstm import FrameConvLSTM
from keras_ddl.networks.zoo.parts.frame_network import clip_frames

BLOCKS = (3, 4, 6, 3)
CHANNELS = 64  # of the first stage; each stage has twice those of the one before
EXPANSION = 4
DROPOUT = 0.25
L2 = 1e-4

METHOD = Method(
    title="CLRNet",
    temporal=True,
    source="Tariq et al. 2020",
    values={
        "size": 240,
        "batch": 16,
        "learning_rate": 5e-5,
        "halve_every": 0,
    },
)


def build(
    size: int = 240,
    frames: int = 8,
    weights: str | None = None,
    width: float = 1.0,
    blocks: Sequence[int] = BLOCKS,
) -> Any:
    """The network of a whole clip; weights None.

    Args:
        blocks: Bottlenecks of each stage; fewer make a shallow network for tests.
    """
    if weights is not None:
        raise ValueError(
            f"clrnet has no built-in weights; got {weights!r}; set weights= to nothing"
        )
    channels = scaled(CHANNELS, width)
    clip, x = clip_frames(size, frames)
    x = _conv(x, channels, 7, frames, "stem", 2)
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    x = keras.layers.MaxPooling2D(3, padding="same", name="pool")(x)  # stride 3, not 2
    for stage, count in enumerate(blocks, 1):
        for block in range(1, count + 1):
            stride, opens = (2 if block == 1 else 1), (stage, block) == (1, 1)
            x = _bottleneck(x, channels, frames, stride, f"stage{stage}_block{block}", opens)
        channels *= 2
    x = keras.layers.BatchNormalization(name="last_bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)  # (B·T, C)
    x = FramesToClip(frames, name="frames_to_clip")(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean_of_frames")(x)  # (B, C)
    x = keras.layers.Dropout(DROPOUT, name="dropout")(x)
    start = "he_normal"
    logits = keras.layers.Dense(2, dtype="float32", kernel_initializer=start, name="logits")(x)
    return keras.Model(clip, logits, name="clrnet")


def _conv(x: Any, channels: int, kernel: int, frames: int, name: str, stride: int = 1) -> Any:
    return FrameConvLSTM(
        channels, kernel, frames, stride, kernel_initializer="he_normal", l2=L2, name=name
    )(x)


def _activated(x: Any, name: str) -> Any:
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _bottleneck(x: Any, channels: int, frames: int, stride: int, name: str, opens: bool) -> Any:
    """Three convolutions beside a shortcut; what opens the network comes normalised already."""
    skip, wide = x, EXPANSION * channels
    if not opens:
        x = _activated(x, f"{name}_conv1")
    x = _conv(x, channels, 3 if opens else 1, frames, f"{name}_conv1", stride)
    x = keras.layers.Dropout(DROPOUT, name=f"{name}_dropout1")(x)
    x = _conv(_activated(x, f"{name}_conv2"), channels, 3, frames, f"{name}_conv2")
    x = keras.layers.Dropout(DROPOUT, name=f"{name}_dropout2")(x)
    x = _conv(_activated(x, f"{name}_conv3"), wide, 1, frames, f"{name}_conv3")
    if stride > 1:
        skip = _conv(skip, wide, 1, frames, f"{name}_shortcut", stride)
        skip = keras.layers.BatchNormalization(name=f"{name}_shortcut_bn")(skip)
    return keras.layers.Add(name=f"{name}_add")([skip, x])
