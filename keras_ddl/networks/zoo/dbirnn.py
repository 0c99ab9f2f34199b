"""DBiRNN: what DenseNet sees in each frame, read by a GRU forwards and by another backwards.

Source: Sabir et al., "Recurrent Convolutional Strategies for Face Manipulation Detection in
Videos", CVPR workshops 2019; no code. Public: DenseNet and a bidirectional GRU, trained end to end
with Adam at 1e-4 on 5 aligned faces of 224 px.

Our choice: 8 frames, as a clip has a multiple of 4 here; DenseNet121 from ImageNet; a GRU of 512
for each direction, so that both together are as wide as the features; the last states of the two,
side by side, give the logits; 8 clips per batch, 20 epochs. Original: faces aligned by their
landmarks; here the crop follows the face and is not turned.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import FramesToClip
from keras_ddl.networks.backbones.applications import application
from keras_ddl.networks.backbones.backbone import scaled
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_network import pooled_features

STATE = 512

METHOD = Method(
    title="DBiRNN",
    temporal=True,
    source="Sabir et al. 2019",
    values={
        "weights": "imagenet",
        "size": 224,
        "batch": 8,
        "learning_rate": 1e-4,
        "halve_every": 0,
    },
)


def build(size: int = 224, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """Pooled features of the frames under a bidirectional GRU; size at least 32."""
    clip, x = pooled_features(application("DenseNet121", size, weights, width), size, frames)
    return keras.Model(clip, recurrent_head(x, frames, width), name="dbirnn")


def recurrent_head(features: Any, frames: int, width: float = 1.0) -> Any:
    """From pooled features ``(B·T, C)``, frames of a clip consecutive, to logits ``(B, 2)``."""
    layers = keras.layers
    x = FramesToClip(frames, name="frames_to_clip")(features)  # (B, T, C)
    gru = layers.GRU(scaled(STATE, width), unroll=True, name="gru")
    x = layers.Bidirectional(gru, name="bidirectional")(x)  # forward state, then backward
    return layers.Dense(2, dtype="float32", name="logits")(x)
