"""The shared start of the methods, and the end of those that judge frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames, FramesMean
from keras_ddl.networks.backbones.backbone import Backbone
from keras_ddl.networks.extend import apply_extended
from keras_ddl.networks.localise import (
    apply_localising,
    decision,
    evidence,
    needed,
    with_evidence,
)


def clip_frames(
    size: int, frames: int, scale: float = 1 / 255, offset: float = 0.0, **arguments: Any
) -> tuple[Any, Any]:
    """The input, uint8 clips ``(B, T, size, size, 3)``, and ``(B·T, size, size, 3)`` scaled.

    Args:
        size: Side of the crops in pixels.
        frames: Frames per clip T.
        scale, offset: Of the raw values, see `ClipToFrames`.
        arguments: More of that layer.
    """
    clip = keras.Input((frames, size, size, 3), dtype="uint8", name="clip")
    return clip, ClipToFrames(scale, offset, name="clip_to_frames", **arguments)(clip)


def backbone_maps(
    backbone: Backbone,
    size: int,
    frames: int,
    stages: Mapping[str, str] | None = None,
    addition: Callable[[Any, str], Any] = lambda x, _: x,
) -> tuple[Any, Any]:
    """The input and the last features ``(B·T, h, w, C)`` of a copied CNN.

    Args:
        backbone: The CNN; its layers are copied.
        size: Side of the crops in pixels.
        frames: Frames per clip T.
        stages, addition: What is added to the CNN, see `apply_extended`.
    """
    clip, x = clip_frames(size, frames, backbone.scale, backbone.offset)
    return clip, apply_extended(backbone.cnn, x, stages or {}, addition)


def pooled_features(backbone: Backbone, size: int, frames: int) -> tuple[Any, Any]:
    """The input and the mean ``(B·T, C)`` of `backbone_maps` over the image."""
    clip, x = backbone_maps(backbone, size, frames)
    return clip, keras.layers.GlobalAveragePooling2D(name="features")(x)


def frame_network(
    name: str,
    backbone: Backbone,
    size: int,
    frames: int,
    localise: str = "",
    by_map: bool = False,
) -> Any:
    """A CNN, its pooled features, two logits per frame, and the mean of the frames' predictions.

    `localise` is the stage of a localisation head, see `networks.localise`; empty is none. With
    `by_map` its map alone decides, and what comes behind that stage is left out.
    """
    clip, x = clip_frames(size, frames, backbone.scale, backbone.offset)
    x, cells = apply_localising(backbone, x, {}, None, localise)
    if by_map:
        judged = decision(evidence(needed(cells)), "map_frame_logits")
        return mean_of_frames(name, clip, judged, frames)
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    if cells is not None:
        x = with_evidence(x, evidence(cells))
    return frame_judge(name, clip, x, frames)


def frame_judge(name: str, clip: Any, features: Any, frames: int) -> Any:
    """The model that judges each frame by its features ``(B·T, C)``, under `mean_of_frames`."""
    logits = keras.layers.Dense(2, dtype="float32", name="frame_logits")(features)
    return mean_of_frames(name, clip, logits, frames)


def mean_of_frames(name: str, clip: Any, logits: Any, frames: int) -> Any:
    """The model whose prediction is the mean of the frames', of logits ``(B·T, 2)``."""
    return keras.Model(clip, FramesMean(frames, dtype="float32", name="logits")(logits), name=name)
