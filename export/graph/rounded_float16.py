"""Float16 that is float16, computed in float32: each float16 result is rounded by Casts of its own.

ONNX Runtime's CPU kernels compute float16 in float32 and drop the rounding between two of them, so
that an overflow never shows. Here each sum is made in float32 and rounded once, as GPUs do it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.onnx_graph import Graph, all_names, unused_name

if TYPE_CHECKING:
    import onnx

# Operators whose results are among their inputs, but for a sign: nothing is left to round.
CHOOSES = frozenset(
    "Abs Concat Expand Flatten Gather GatherElements GatherND Identity Max MaxPool Min Neg Relu "
    "Reshape ScatterElements ScatterND Slice Split Squeeze Tile TopK Transpose Unsqueeze "
    "Where".split()
)
_FLOAT, _HALF = 1, 10  # of onnx.TensorProto


def rounded_float16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph so that it computes in float32 alone and rounds what was float16 to float16.

    Tensors keep their names; those that were float16 are float32 now, with float16's values,
    infinity among them. To be run without graph optimisations, which may take the Casts for idle.

    Args:
        proto: A graph with float16 in it; one without is only copied.
    """
    from onnx import helper

    result = deepcopy(proto)
    graph, taken = Graph(proto).infer(), all_names(proto)
    for tensor in result.graph.initializer:
        _widen(tensor)
    for value in result.graph.output:
        if value.type.tensor_type.elem_type == _HALF:
            value.type.tensor_type.elem_type = _FLOAT
    del result.graph.value_info[:]  # the types noted there are no longer so
    nodes: list[Any] = []
    for node in result.graph.node:
        _widen_attributes(node)
        halves = [name for name in node.output if name and graph.dtype(name) == _HALF]
        nodes.append(node)
        if node.op_type in CHOOSES:
            continue
        for name in halves:
            exact, half = (unused_name(taken, f"{name}/{part}") for part in ("exact", "half"))
            node.output[:] = [exact if output == name else output for output in node.output]
            nodes.append(helper.make_node("Cast", [exact], [half], half, to=_HALF))
            nodes.append(helper.make_node("Cast", [half], [name], f"{half}/read", to=_FLOAT))
    nodes = [deepcopy(node) for node in nodes]
    del result.graph.node[:]
    result.graph.node.extend(nodes)
    return result


def _widen(tensor: Any) -> None:
    from onnx import numpy_helper

    if tensor.data_type == _HALF:
        value = np.asarray(numpy_helper.to_array(tensor).astype(np.float32))
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _widen_attributes(node: Any) -> None:
    """Say float32 where a node states its result's type."""
    for attribute in node.attribute:
        if attribute.name in ("to", "output_dtype", "dtype") and attribute.i == _HALF:
            attribute.i = _FLOAT
        elif attribute.name == "value" and attribute.HasField("t"):
            _widen(attribute.t)
