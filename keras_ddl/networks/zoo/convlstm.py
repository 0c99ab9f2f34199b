"""ConvLSTM: a convolutional LSTM over a CNN's feature maps.

Source: Shi et al., "Convolutional LSTM Network: A Machine Learning Approach for Precipitation
Nowcasting", NeurIPS 2015, which the paper lists among its comparison methods. Public: the layer
alone; how the paper makes a detector of it is not.

Our choice, all of it: ResNet18's last features, as a plain backbone of the paper has them, one
convolutional LSTM of 256 channels and 3 × 3 pixels, its state after the last frame, averaged over
the image, two logits; trained as the paper trains its own. No pretrained weights, as for ResNet18.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames
from keras_ddl.networks.backbones.backbone import scaled
from keras_ddl.networks.extend import apply_extended
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_conv_lstm import FrameConvLSTM
from keras_ddl.presets import Preset

CHANNELS = 256

METHOD = Method(
    title="ConvLSTM",
    row="ConvLSTM",
    temporal=True,
    preset=Preset(
        source="the paper's training; the wiring is not public",
        values={"network": "convlstm", "size": 224},
    ),
)


def build(size: int = 224, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under a convolutional LSTM.

    Args:
        size: Side of the crops in pixels, at least 32.
        weights: None.

    Raises:
        ValueError: weights other than None, size below 32.
    """
    from keras_ddl.networks.backbones.resnet18 import build as build_backbone

    backbone = build_backbone(size, weights, width)
    clip = keras.Input((frames, size, size, 3), dtype="uint8", name="clip")
    x = ClipToFrames(backbone.scale, backbone.offset, name="clip_to_frames")(clip)
    x = apply_extended(backbone.cnn, x, {}, lambda x, _: x)  # (B·T, h, w, 512)
    channels = scaled(CHANNELS, width)
    # What comes before `features` rests in `frozen_epochs`: the state is the head's.
    x = FrameConvLSTM(channels, 3, frames, return_sequences=False, name="features")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool_state")(x)  # (B, 256)
    logits = keras.layers.Dense(2, dtype="float32", name="logits")(x)
    return keras.Model(clip, logits, name="convlstm")
