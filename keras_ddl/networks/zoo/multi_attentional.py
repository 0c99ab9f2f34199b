"""Multi-attentional, frame by frame: EfficientNet-B4 with four maps of where to look.

Source: Zhao et al., "Multi-attentional Deepfake Detection", CVPR 2021, and its released code.
Public: ImageNet EfficientNet-B4 at 380 px; texture from the features after block 2, four attention
maps from those after block 5, and the features of the end (`attention_modules`); vectors of each
map's texture and the weighed mean of the last features, dropout .25 of whole maps and .5, each
through a dense layer to 256 and both together to two logits.

Our choice: one dense layer with swish where the released code has two with hard swish; 2 clips of 8
frames per batch, as the code has 10 to 15 pictures; the frames' predictions are averaged.

Original: losses for the independence of the regions and for matching maps, augmentation guided by
attention, AdamW with a weight decay of 1e-6; here cross-entropy alone, the house's augmentation,
Adam. Original: the backbone alone for 20 epochs as a plain classifier, then all for 50; here all
from the start for 50.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.networks.backbones.applications import application
from keras_ddl.networks.backbones.backbone import scaled
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.attention_modules import (
    AttentionMaps,
    AttentionMean,
    AttentionPooling,
    TextureEnhancement,
)
from keras_ddl.networks.zoo.parts.frame_network import backbone_maps, frame_judge

MAPS = 4
TAPS = {"texture": "block2d_add", "attention": "block5f_add"}  # layers of Keras' EfficientNetB4
POOL = 4  # how much coarser the second is than the first
HIDDEN = 256
MAP_DROPPED, LAST_DROPPED = 0.25, 0.5

METHOD = Method(
    title="Multi-attentional",
    row="Multi-att",
    temporal=False,
    source="Zhao et al. 2021",
    values={
        "weights": "imagenet",
        "size": 380,
        "batch": 2,
        "learning_rate": 1e-4,
        "halve_every": 5,
        "epochs": 50,
    },
)


def build(size: int = 380, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network with attention under an average; size at least 32."""
    backbone, taps = application("EfficientNetB4", size, weights, width), {}

    def keep(x: Any, tap: str) -> Any:
        taps[tap] = x
        return x

    clip, last = backbone_maps(backbone, size, frames, TAPS, keep)
    x = attentive_head(taps["texture"], taps["attention"], last, width)
    return frame_judge("multi_attentional", clip, x, frames)


def attentive_head(texture: Any, attention: Any, last: Any, width: float = 1.0) -> Any:
    """From features after three depths of the backbone to the local and global branch, ``(N, c)``.

    Args:
        texture: Shallow features, four times as fine as `attention`.
        attention: Features that the maps are made of.
        last: Features of the end.
        width: Factor on the channels of the branches.
    """
    layers, hidden = keras.layers, scaled(HIDDEN, width)
    maps = AttentionMaps(MAPS, name="attention_maps")(attention)
    x = TextureEnhancement(POOL, name="texture_enhancement")([texture, maps])
    x = AttentionPooling(name="attention_pooling")([x, maps])  # (N, M, C)
    x = layers.Dropout(MAP_DROPPED, noise_shape=(None, MAPS, 1), name="map_dropout")(x)
    x = layers.Flatten(name="map_features")(x)
    local = layers.Dense(hidden, activation="swish", name="local_branch")(x)
    x = AttentionMean(name="features")([last, maps])
    x = layers.Dropout(LAST_DROPPED, name="features_dropout")(x)
    whole = layers.Dense(hidden, activation="swish", name="global_branch")(x)
    return layers.Concatenate(name="branches")([local, whole])
