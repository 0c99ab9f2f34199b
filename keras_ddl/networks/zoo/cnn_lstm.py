"""CNN+LSTM: what InceptionV3 sees in each frame, read in order by an LSTM.

Source: Güera and Delp, "Deepfake Video Detection Using Recurrent Neural Networks", AVSS 2018; no
code. Public: ImageNet InceptionV3 without its top, 2,048 pooled features per frame, an LSTM of
2,048, dropout .5, a dense layer of 512, dropout .5, softmax of two; 20, 40 or 80 frames of 299 px;
Adam at 1e-5, end to end.

Our choice: 20 frames; ReLU after the dense layer; 4 clips per batch and 20 epochs. Original: Adam
with a decay of 1e-6 per step, which takes 1 % in 10,000 steps; here the rate stays.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import FramesToClip
from keras_ddl.networks.backbones.applications import application
from keras_ddl.networks.backbones.backbone import scaled
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_network import pooled_features

STATE, HIDDEN, DROPPED = 2048, 512, 0.5

METHOD = Method(
    title="CNN+LSTM",
    temporal=True,
    source="Güera and Delp 2018",
    values={
        "weights": "imagenet",
        "size": 299,
        "frames": 20,
        "batch": 4,
        "learning_rate": 1e-5,
        "halve_every": 0,
    },
)


def build(size: int = 299, frames: int = 20, weights: str | None = None, width: float = 1.0) -> Any:
    """Pooled features of the frames under an LSTM, a step for each frame; size at least 75."""
    clip, x = pooled_features(application("InceptionV3", size, weights, width), size, frames)
    return keras.Model(clip, recurrent_head(x, frames, width), name="cnn_lstm")


def recurrent_head(features: Any, frames: int, width: float = 1.0) -> Any:
    """From pooled features ``(B·T, C)``, frames of a clip consecutive, to logits ``(B, 2)``."""
    layers = keras.layers
    x = FramesToClip(frames, name="frames_to_clip")(features)  # (B, T, C)
    x = layers.LSTM(scaled(STATE, width), unroll=True, name="lstm")(x)
    x = layers.Dropout(DROPPED, name="lstm_dropout")(x)
    x = layers.Dense(scaled(HIDDEN, width), activation="relu", name="hidden")(x)
    x = layers.Dropout(DROPPED, name="hidden_dropout")(x)
    return layers.Dense(2, dtype="float32", name="logits")(x)
