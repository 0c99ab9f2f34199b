"""Bias folding: a constant that is added to a convolution's result, a value a channel, is its bias.

Keras' depthwise convolutions with quantisers leave such additions. Rounded results for the
processor (`cpu_int8`) would lie before the bias, with a range many times as large as behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.graph.onnx_graph import Additions, Graph, drop_unused

if TYPE_CHECKING:
    import onnx


def fold_bias(proto: onnx.ModelProto) -> int:
    """Make constants that are added to convolutions' results their biases.

    Args:
        proto: Changed in place. A convolution that has a bias, or whose result something else reads
            too, is left alone.

    Returns:
        How many were folded.
    """
    graph, add = Graph(proto), Additions(proto)
    folded = 0
    for node in [node for node in graph.nodes if node.op_type == "Add"]:
        for between, other in (node.input, reversed(node.input)):
            conv = graph.makers.get(between)
            if conv is None or conv.op_type != "Conv" or len(conv.input) > 2:
                continue
            alone = len(graph.readers[between]) == 1 and between not in graph.outputs
            bias = _by_channel(graph, other, _channels(graph, conv))
            if alone and bias is not None:
                conv.input.append(add.constant(f"{conv.name or between}/bias", bias))
                conv.output[0] = node.output[0]
                proto.graph.node.remove(node)
                folded += 1
                break
    drop_unused(proto)
    return folded


def _channels(graph: Graph, conv: onnx.NodeProto) -> int:
    """Channels of a convolution's result, by its weights, which may be quantised; else 0."""
    name = conv.input[1]
    while (weights := graph.constant(name)) is None:
        if graph.kind(name) not in ("QuantizeLinear", "DequantizeLinear"):
            return 0
        name = graph.makers[name].input[0]
    return int(weights.shape[0])


def _by_channel(graph: Graph, name: str, channels: int) -> np.ndarray | None:
    """A constant of shape (C, 1, 1) or (1, C, 1, 1), as (C,); None for any other tensor."""
    value = graph.constant(name)
    if (
        value is None
        or value.ndim not in (3, 4)
        or (value.shape[-3], value.size) != (channels,) * 2
    ):
        return None
    return np.asarray(value.reshape(-1))
