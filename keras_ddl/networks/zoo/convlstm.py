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
from keras_ddl.networks.backbones import resnet18
from keras_ddl.networks.backbones.backbone import scaled
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_conv_lstm import FrameConvLSTM
from keras_ddl.networks.zoo.parts.frame_network import backbone_maps

CHANNELS = 256

METHOD = Method(
    title="ConvLSTM",
    temporal=True,
    source="the paper's training; the wiring is not public",
    values={"size": 224},
)


def build(size: int = 224, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under a convolutional LSTM; size at least 32, weights None."""
    # (B·T, h, w, 512)
    clip, x = backbone_maps(resnet18.build(size, weights, width), size, frames)
    channels = scaled(CHANNELS, width)
    # What comes before `features` rests in `frozen_epochs`: the state is the head's.
    x = FrameConvLSTM(channels, 3, frames, return_sequences=False, name="features")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool_state")(x)  # (B, 256)
    logits = keras.layers.Dense(2, dtype="float32", name="logits")(x)
    return keras.Model(clip, logits, name="convlstm")
