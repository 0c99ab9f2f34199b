"""channel_attention: features weighted, channel by channel, by what all positions say of them."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras


def channel_attention(x: Any, ratio: int, name: str) -> Any:
    """``x + x · σ(W(mean) + W(max))`` with mean and maximum over the image, W two 1×1 convolutions.

    Args:
        x: Features ``(N, h, w, C)``.
        ratio: C over the channels between the convolutions, of which there are at least 4.
        name: Of the weights' layer, and before the others'.
    """
    layers, channels = keras.layers, x.shape[-1]
    squeeze = layers.Conv2D(
        max(4, channels // ratio), 1, activation="relu", use_bias=False, name=f"{name}_squeeze"
    )
    excite = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_excite")
    mean = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    peak = layers.GlobalMaxPooling2D(keepdims=True, name=f"{name}_max")(x)
    total = layers.Add(name=f"{name}_sum")([excite(squeeze(mean)), excite(squeeze(peak))])
    weights = layers.Activation("sigmoid", name=name)(total)
    weighted = layers.Multiply(name=f"{name}_weighted")([x, weights])
    return layers.Add(name=f"{name}_residual")([x, weighted])
