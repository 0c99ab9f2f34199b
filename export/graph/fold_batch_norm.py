"""Batch-norm folding into the convolution before: what is quantised are the weights that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.onnx_graph import Additions, Graph, attribute, drop_unused

if TYPE_CHECKING:
    import onnx


def fold_batch_norm(proto: onnx.ModelProto) -> int:
    """Multiply each batch norm that follows a convolution into its weights and bias.

    Args:
        proto: Changed in place. A convolution whose result something else reads too, or whose
            weights are computed, is left alone, and so is a batch norm that follows none.

    Returns:
        How many were folded.
    """
    graph, add = Graph(proto), Additions(proto)
    folded = 0
    for norm in [node for node in graph.nodes if node.op_type == "BatchNormalization"]:
        between = norm.input[0]
        if graph.kind(between) != "Conv" or between in graph.outputs:
            continue
        conv = graph.makers[between]
        values = [graph.constant(name) for name in (*norm.input[1:], *conv.input[1:])]
        alone = len(graph.readers[between]) == 1
        if alone and all(value is not None for value in values):
            conv.input[1:] = _fold(conv, norm, values, add)
            conv.output[0] = norm.output[0]
            proto.graph.node.remove(norm)
            folded += 1
    drop_unused(proto)
    return folded


def _fold(conv: Any, norm: Any, values: list[Any], add: Additions) -> list[str]:
    """Add the weights and the bias of both together; returns their names."""
    gamma, beta, mean, variance, weights = (value.astype(np.float64) for value in values[:5])
    bias = values[5].astype(np.float64) if len(values) > 5 else np.zeros_like(beta)
    factor = gamma / np.sqrt(variance + attribute(norm, "epsilon", 1e-5))
    arrays = {
        "folded_weights": weights * factor.reshape(-1, *[1] * (weights.ndim - 1)),
        "folded_bias": (bias - mean) * factor + beta,
    }
    scope, dtype = conv.name or conv.output[0], values[4].dtype
    return [add.constant(f"{scope}/{key}", array.astype(dtype)) for key, array in arrays.items()]
