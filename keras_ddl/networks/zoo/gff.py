"""GFF, frame by frame: two Xceptions, on the image and on its noise.

Source: Luo et al., "Generalizing Face Forgery Detection with High-frequency Features", CVPR 2021,
and the core of the network in crywang/face-forgery-detection: ImageNet weights, 256 px, Adam at
2e-4, batch 32. Public: residuals of the image as the second stream's input, residuals of the first
stream's features added to it after both first convolutions; a map of where the noise is, over the
first stream; attention between the streams after blocks 3 and 7 (here 4 and 8: Keras counts from
the stem); 4096 channels fused to 2048 with channel attention; 0.5 dropout before the logits.

Original: AM-softmax with a margin of 0.45, which needs labels inside the network; here its scaled
cosines under cross-entropy, without the margin. Our choice: no linear layer over all pairs of
positions in the attention, see `CrossAttention`, so that other sizes than 256 work; all three
filters for each channel of the features; a batch of 4 clips of 8 frames; the frames' predictions
are averaged.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.networks.backbones.backbone import require_size, scaled
from keras_ddl.networks.channel_attention import channel_attention
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.cross_attention import CrossAttention
from keras_ddl.networks.zoo.parts.frame_network import clip_frames, mean_of_frames
from keras_ddl.networks.zoo.parts.gff_layers import CosineLogits, SpatialAttention, SRMResiduals
from keras_ddl.networks.zoo.parts.xception_blocks import XceptionBlocks, start_streams

PARTS = ((2, 4), (5, 8))  # of both streams, each followed by attention between them
FUSED, RATIO = 2048, 16
DROPOUT = 0.5

METHOD = Method(
    title="GFF",
    temporal=False,
    source="Luo et al. 2021; epochs and a steady rate are ours",
    values={
        "weights": "imagenet",
        "size": 256,
        "batch": 4,
        "learning_rate": 2e-4,
        "halve_every": 0,
    },
)


def build(size: int = 256, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average; size at least 32, weights for both streams."""
    require_size("gff", size)
    rgb, noise = XceptionBlocks("rgb_", width), XceptionBlocks("srm_", width)
    clip, image = clip_frames(size, frames, 1 / 127.5, -1.0)
    residuals = SRMResiduals(name="srm")(image)
    x, y = image, residuals
    for number in (1, 2):
        x = rgb.convolution(x, number)
        y = noise.convolution(y, number)
        y = keras.layers.Add(name=f"srm{number}_add")([y, _noise_of(x, f"srm{number}")])
    x = _guided(x, residuals, width)
    for first, last in PARTS:
        x, y = rgb.blocks(x, first, last), noise.blocks(y, first, last)
        x, y = CrossAttention(name=f"attention{last}")([x, y])
    x, y = rgb.blocks(x, 9, 14), noise.blocks(y, 9, 14)
    x = keras.layers.Concatenate(name="features")([x, y])  # (B·T, h, w, 4096)
    x = channel_attention(_convolved(x, scaled(FUSED, width), 1, "fusion"), RATIO, "weights")
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dropout(DROPOUT, name="dropout")(x)
    x = CosineLogits(dtype="float32", name="frame_logits")(x)
    model = mean_of_frames("gff", clip, x, frames)
    start_streams(model, (rgb, noise), weights)
    return model


def _convolved(x: Any, channels: int, kernel: int, name: str, stride: int = 1) -> Any:
    x = keras.layers.Conv2D(channels, kernel, stride, use_bias=False, name=name)(x)
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _noise_of(x: Any, name: str) -> Any:
    """The residuals of features ``(N, h, w, C)``, as many channels again."""
    residuals = SRMResiduals(separate=True, name=name)(x)  # (N, h, w, 3·C)
    return _convolved(residuals, x.shape[-1], 1, f"{name}_conv")


def _guided(x: Any, residuals: Any, width: float) -> Any:
    """Features after the two convolutions, stronger where the residuals say."""
    map_ = _convolved(residuals, scaled(32, width), 3, "guide_conv1", 2)
    map_ = _convolved(map_, scaled(64, width), 3, "guide_conv2")
    map_ = SpatialAttention(name="guide")(map_)  # (N, h, w, 1)
    stronger = keras.layers.Multiply(name="guided")([x, map_])
    x = keras.layers.Add(name="guided_add")([x, stronger])
    x = keras.layers.BatchNormalization(name="guided_bn")(x)
    return keras.layers.ReLU(name="guided_relu")(x)
