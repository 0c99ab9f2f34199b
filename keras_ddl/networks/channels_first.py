"""channels_first: the same network in the layout that exported graphs run in."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from keras_ddl.layers import CUSTOM_OBJECTS
from keras_ddl.layers.channels_first import CHANNELS_FIRST
from keras_ddl.networks.keras_graph import KerasGraph

log = logging.getLogger(__name__)

ELEMENTWISE = set(
    "Activation Add Average Dense Dropout InputLayer LeakyReLU Maximum Multiply ReLU Softmax "
    "Subtract".split()
)
ALONG_TIME = set("Bidirectional FramesMean GlobalAveragePooling1D GRU LSTM".split())  # of features
EITHER = {"ForgeryEvidence"}  # one channel, whose place makes no difference


def channels_first(model: Any) -> Any | None:
    """A copy of a functional model whose images lie as ``(batch, channels, height, width)``.

    Runtimes for ONNX compute in that layout; a graph traced from the copy needs no transpose around
    each convolution. Inputs, outputs and weights are the same. The copy is for tracing: TensorFlow
    has no CPU kernels for it.

    Args:
        model: A functional model that starts with `ClipToFrames`.

    Returns:
        The copy, or None (with the reason logged) where a layer has no known counterpart.
    """
    graph = KerasGraph(model)
    for node in graph.nodes.values():
        reason = _turn(node.kind, node.config, len(model.get_layer(node.name).output_shape))
        if reason:
            log.warning("%s stays channels-last: layer %s %s", model.name, node.name, reason)
            return None
    twin = graph.rebuilt({**CUSTOM_OBJECTS, **CHANNELS_FIRST})
    for source, target in zip(model.layers, twin.layers, strict=True):
        values = zip(source.get_weights(), target.weights, strict=True)
        target.set_weights([_turned(value, kept.shape) for value, kept in values])
    return twin


def _turn(kind: str, config: dict[str, Any], rank: int) -> str | None:
    """Change one layer's configuration; a reason where that is not possible."""
    if rank > 2 and (kind in ("Dense", "Softmax") or config.get("activation") == "softmax"):
        return f"of kind {kind} works along the last axis"
    if kind == "Rescaling":  # by one number, or by one for each channel
        for name in ("scale", "offset"):
            if np.ndim(config[name]):
                config[name] = np.reshape(config[name], (-1, 1, 1)).tolist()
    elif "data_format" in config and kind not in ALONG_TIME:
        config["data_format"] = "channels_first"
    elif kind in ("BatchNormalization", "Concatenate", "Normalization") and rank != 4:
        return None  # of features: nothing is turned
    elif kind in ("BatchNormalization", "Concatenate", "Normalization"):
        axes = config["axis"] if isinstance(config["axis"], (list, tuple)) else [config["axis"]]
        if any(axis not in (-1, 3) for axis in axes):
            return f"works along axis {config['axis']}"
        config["axis"] = [1] if isinstance(config["axis"], (list, tuple)) else 1
    elif kind == "Reshape":
        shape = list(config["target_shape"])
        if len(shape) != 3 or shape[:2] != [1, 1]:
            return f"reshapes to {tuple(shape)}"
        config["target_shape"] = (shape[2], 1, 1)
    elif kind == "FramesToClip" and rank > 3:
        return "gives images an axis of time"
    elif kind not in ELEMENTWISE | ALONG_TIME | EITHER | CHANNELS_FIRST.keys() | {"FramesToClip"}:
        return f"of kind {kind} has no known channels-first form"
    return None


def _turned(value: Any, shape: Any) -> Any:
    """Weights keep their shape, but for statistics that lie along the channel axis of an image."""
    return value if value.shape == tuple(shape) else value.reshape(tuple(shape))
