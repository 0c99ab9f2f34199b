"""frame_network: a CNN, its global average, two logits per frame, and the mean of the frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames, FramesMean
from keras_ddl.networks.backbones.backbone import Backbone
from keras_ddl.networks.extend import apply_extended


def frame_network(
    name: str,
    backbone: Backbone,
    size: int,
    frames: int,
    head: Callable[[Any], Any] | None = None,
) -> Any:
    """Put a frame network under the mean of its frames' predictions.

    Args:
        name: Of the model.
        backbone: The CNN; its layers are copied.
        size: Side of the crops in pixels.
        frames: Frames per clip.
        head: From pooled features ``(B·T, C)`` to what the logits are computed of; default: as
            they are.

    Returns:
        A functional model: uint8 clips ``(B, T, size, size, 3)`` → logits ``(B, 2)``.
    """
    clip, x = features(backbone, size, frames)
    x = keras.layers.Dense(2, dtype="float32", name="frame_logits")(head(x) if head else x)
    return keras.Model(clip, FramesMean(frames, dtype="float32", name="logits")(x), name=name)


def features(backbone: Backbone, size: int, frames: int) -> tuple[Any, Any]:
    """The start of every model on pooled features of frames.

    Returns:
        The input, uint8 clips ``(B, T, size, size, 3)``, and the features ``(B·T, C)``.
    """
    clip = keras.Input((frames, size, size, 3), dtype="uint8", name="clip")
    x = ClipToFrames(backbone.scale, backbone.offset, name="clip_to_frames")(clip)
    x = apply_extended(backbone.cnn, x, {}, lambda x, _: x)
    return clip, keras.layers.GlobalAveragePooling2D(name="features")(x)
