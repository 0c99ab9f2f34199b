"""The ranges that quantisation-aware training found → ONNX's own quantisers.

A quantised network is traced with a clip to the range at every quantiser, under a name of its own.
Here each of them becomes QuantizeLinear and DequantizeLinear, and the kernels of the convolutions
behind them are rounded per output channel, as in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.insert_qdq import Pairs, channel_tops
from export.graph.onnx_graph import Graph, drop_unused, read_instead, sort_nodes
from keras_ddl.edge.bundle import RANGE_MARK

if TYPE_CHECKING:
    import onnx

MOVES = ("Pad", "Reshape", "Transpose")  # of zeros: 0 stays 0


def quantise_marked(proto: onnx.ModelProto) -> int:
    """Put Q/DQ where the clips are; the graph is changed in place.

    Args:
        proto: Traced from a network of `keras_ddl.quantization`.

    Returns:
        The number of clips that were replaced; 0 leaves the graph as it was.

    Raises:
        ValueError: A clip's range is no constant, or is not symmetric.
    """
    marks = [node for node in proto.graph.node if f"/{RANGE_MARK}" in node.name]
    for node in marks:
        _behind_moves(proto, node)
    graph, pairs = Graph(proto).infer(batch=1), Pairs(proto)
    replaced = {}
    for node in marks:
        low, high = (graph.constant(name) for name in node.input[1:3])
        if low is None or high is None or not np.isclose(float(low), -float(high)):
            raise ValueError(f"{node.name}: expected a constant symmetric range, received another")
        replaced[node.output[0]] = pairs.of(node.input[0], np.asarray(float(high)))
        proto.graph.node.remove(node)
    for node in proto.graph.node:
        rounded = bool(node.input) and node.input[0] in replaced
        read_instead([node], replaced)
        kernel = graph.constant(node.input[1]) if rounded and node.op_type == "Conv" else None
        if kernel is not None:
            node.input[1] = pairs.of(node.input[1], channel_tops(kernel), axis=0)
    sort_nodes(proto)
    drop_unused(proto)
    return len(marks)


def _behind_moves(proto: onnx.ModelProto, mark: Any) -> None:
    """Let a clip stand behind operators that only move values, next to the one that computes."""
    while True:
        readers = [node for node in proto.graph.node if mark.output[0] in node.input]
        if len(readers) != 1 or readers[0].op_type not in MOVES:
            return
        move, made = readers[0], readers[0].output[0]
        read_instead(proto.graph.node, {made: mark.output[0]})
        move.input[0], mark.input[0] = mark.input[0], made
