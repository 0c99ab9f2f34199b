"""Divergence of an exported graph from its Keras network, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.onnx_graph import Graph
from export.parity.divergence import Divergence, fetch, judge, layer_of, relative_error

if TYPE_CHECKING:
    import onnx

ROUNDS = ("QuantizeLinear", "DequantizeLinear")


def find_keras_divergence(
    model: Any, proto: onnx.ModelProto, clip: np.ndarray, bound: float
) -> Divergence:
    """Compare what the layers return with the tensors that the converter named after them.

    A layer that the converter merged into another has no tensor and is left out.

    Args:
        model: Functional Keras model, ``clip`` → ``logits``.
        proto: Its export by `onnx_from_keras`.
        clip: uint8 ``(T, S, S, 3)``.
        bound: Largest relative error that counts as agreement, >= 0.
    """
    wanted = _layer_outputs(model, clip)
    named = _named_after_layers(proto, set(wanted))
    ends: dict[str, tuple[str, float]] = {}  # layer → its last tensor of the right shape, its error
    for name, value in fetch(proto, list(named), clip):
        expected = _turned(wanted[named[name]], value.shape)
        if expected.shape == value.shape:
            ends[named[name]] = name, relative_error(expected, value)
    return judge(Graph(proto), dict(ends.values()), bound)


def _layer_outputs(model: Any, clip: np.ndarray) -> dict[str, np.ndarray]:
    """Layer name → its result, for the layers that are called once and return one tensor."""
    from keras_ddl.framework import keras

    outputs = {
        layer.name: layer.output
        for layer in model.layers
        if len(layer.inbound_nodes) == 1 and not isinstance(layer.output, (list, tuple))
    }
    results = keras.Model(model.input, outputs)(clip[None], training=False)
    return {name: np.asarray(value) for name, value in results.items()}


def _named_after_layers(proto: onnx.ModelProto, layers: set[str]) -> dict[str, str]:
    """Tensor → layer, for what is computed from the clip, named after a layer and read elsewhere.

    A quantiser's results are left out: they are rounded, the layer's own is what goes in.
    """
    graph = Graph(proto).infer(batch=1)
    from_clip = {proto.graph.input[0].name}
    found = {}
    for node in graph.nodes:
        if from_clip.isdisjoint(node.input):
            continue
        from_clip.update(node.output)
        for name in node.output:
            layer = layer_of(name)
            readers = graph.readers[name]
            read = any(r.op_type in ROUNDS or layer_of(r.output[0]) != layer for r in readers)
            if read and layer in layers and graph.dtype(name) == 1 and node.op_type not in ROUNDS:
                found[name] = layer
    return found


def _turned(value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A result of Keras in the layout of the graph: channels first, positions perhaps as one."""
    turned = value.transpose(0, 3, 1, 2) if value.ndim == 4 else value
    rows = turned.reshape(*turned.shape[:2], -1) if value.ndim == 4 else value
    return next((v for v in (turned, rows) if v.shape == shape), value)
