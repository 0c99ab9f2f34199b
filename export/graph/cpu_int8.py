"""CPU int8: a Q/DQ graph as ONNX Runtime's kernels want it, made from what TensorRT wants.

TensorRT is told what goes into a convolution; ONNX Runtime runs one on integers only where its
result is quantised too, and on x86 only where activations are uint8. In TensorRT's form one
convolution in nine fuses, and the graph is slower than the float one (docs/speed.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np

from export.graph.float_islands import projection_nodes
from export.graph.insert_qdq import LARGEST, Pairs
from export.graph.int8_share import is_int8
from export.graph.onnx_graph import Additions, Graph, drop_unused, read_instead, sort_nodes

if TYPE_CHECKING:
    import onnx

LEVELS, MIDDLE = 255, 128  # steps of uint8; the zero point of what has both signs
ROUNDING = 1e-6  # of a float32 step, times its steps
KEEPS_SIGN = ("MaxPool", "AveragePool", "Pad", "Reshape", "Transpose", "Resize")


def open_results(proto: onnx.ModelProto) -> list[str]:
    """Results of int8 convolutions that nothing quantises: `cpu_int8` needs their ranges.

    Of a convolution that only a ReLU or ReLU6 reads, what that gives. DFDC's projections are left
    out: rounding their results would choose other positions.
    """
    return [name for name, quantiser in _results(Graph(proto).infer(batch=1)) if not quantiser]


def cpu_int8(proto: onnx.ModelProto, ranges: Mapping[str, float]) -> onnx.ModelProto:
    """Rewrite a graph with TensorRT's Q/DQ so that ONNX Runtime computes it on integers.

    Results of convolutions are quantised, average pooling reads floats, sigmoids and their sums are
    tables and integers, activations become uint8: what is never negative with 255 steps from 0, the
    rest with its int8 steps around 128. A ReLU6 in front of a quantiser that ends at 6 or below is
    left out: the quantiser cuts at both ends by itself.

    Args:
        proto: Left as it is; symmetric int8, as `quantise_marked` or `insert_qdq` make it.
        ranges: Tensor of `open_results` → largest magnitude to represent, finite and >= 0. Without
            its range a convolution stays float.
    """
    result = deepcopy(proto)
    _pool_floats(result)
    pairs = Pairs(result)
    for name, quantiser in _results(Graph(result).infer(batch=1)):
        if quantiser is not None:
            _read_instead(result, name, quantiser)
        elif name in ranges:
            _read_instead(result, name, pairs.of(name, np.asarray(ranges[name])))
    for name, top in _gates(Graph(result)):
        _read_instead(result, name, pairs.of(name, np.asarray(top)))
    sort_nodes(result)
    _make_unsigned(result)
    _leave_out_clips(result)
    drop_unused(result)
    return result


def _pool_floats(model: onnx.ModelProto) -> None:
    """Let average pooling read what was quantised: its integer kernel takes several times as long.

    Its result is rounded afterwards, where a convolution reads it.
    """
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type == "AveragePool" and graph.kind(node.input[0]) == "DequantizeLinear":
            node.input[0] = _rounded(graph, node.input[0])


def _rounded(graph: Graph, name: str) -> str:
    """What a dequantised tensor was quantised from."""
    return str(graph.makers[graph.makers[name].input[0]].input[0])


def _results(graph: Graph) -> list[tuple[str, str | None]]:
    """What int8 convolutions return and others read as floats, and its dequantised twin, if any."""
    kept = projection_nodes(graph)
    found = []
    for node in graph.nodes:
        name = node.output[0] if node.output else ""
        if node.op_type != "Conv" or not is_int8(graph, node) or name in kept:
            continue
        readers = graph.readers[name]
        if len(readers) == 1 and _cuts_at_zero(graph, readers[0]):
            name = readers[0].output[0]
            readers = graph.readers[name]
        quantisers = [reader for reader in readers if reader.op_type == "QuantizeLinear"]
        if len(quantisers) < len(readers) and name not in graph.outputs:
            twin = graph.readers[quantisers[0].output[0]][0].output[0] if quantisers else None
            found.append((name, twin))
    return found


def _gates(graph: Graph) -> list[tuple[str, float]]:
    """Sigmoids of what is quantised, and sums of two of them: with their largest value."""
    sigmoids = {
        node.output[0]
        for node in graph.nodes
        if node.op_type == "Sigmoid" and graph.kind(node.input[0]) == "DequantizeLinear"
    }
    sums = [
        node.output[0]
        for node in graph.nodes
        if node.op_type == "Add" and sigmoids.issuperset(node.input)
    ]
    # A sigmoid alone goes on as a float: quantising it would only cost.
    summed = {name for output in sums for name in graph.makers[output].input}
    return [*((name, 1.0) for name in sorted(summed)), *((name, 2.0) for name in sums)]


def _read_instead(model: onnx.ModelProto, name: str, twin: str) -> None:
    readers = (node for node in model.graph.node if node.op_type != "QuantizeLinear")
    read_instead(readers, {name: twin})


def _make_unsigned(model: onnx.ModelProto) -> None:
    """Turn activations' quantisers from symmetric int8 to uint8; weights stay int8."""
    graph, add = Graph(model), Additions(model)
    for node in graph.nodes:
        if node.op_type != "QuantizeLinear" or graph.constant(node.input[0]) is not None:
            continue
        positive = _never_negative(graph, node.input[0])
        inputs = [node.input[1], add.constant(f"{node.output[0]}/zero", np.uint8(MIDDLE))]
        if positive:
            step = np.float32(np.asarray(graph.constant(node.input[1])) * LARGEST / LEVELS)
            zero = add.constant(f"{node.output[0]}/zero", np.uint8(0))
            inputs = [add.constant(f"{node.output[0]}/step", step), zero]
        for part in (node, *graph.readers[node.output[0]]):
            part.input[1:] = inputs


def _never_negative(graph: Graph, name: str) -> bool:
    kind = graph.kind(name)
    if kind == "DequantizeLinear":
        return _never_negative(graph, _rounded(graph, name))
    if kind in KEEPS_SIGN:
        return _never_negative(graph, graph.makers[name].input[0])
    if kind == "Add":
        return all(_never_negative(graph, part) for part in graph.makers[name].input)
    maker = graph.makers.get(name)
    return maker is not None and (kind == "Sigmoid" or _cuts_at_zero(graph, maker))


def _cuts_at_zero(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a ReLU, or a Clip from 0 on, as ReLU6 is."""
    return node.op_type == "Relu" or (node.op_type == "Clip" and _limits(graph, node)[0] == 0)


def _limits(graph: Graph, node: onnx.NodeProto) -> tuple[float, float]:
    """Where a Clip cuts; infinite where it does not, or where a graph decides."""
    values = [graph.constant(name) if name else None for name in (*node.input[1:], "", "")[:2]]
    low, high = (None if value is None else float(np.asarray(value).item()) for value in values)
    return -math.inf if low is None else low, math.inf if high is None else high


def _leave_out_clips(model: onnx.ModelProto) -> None:
    """Let quantisers read in front of a Clip that cuts nothing which they do not cut as well."""
    graph = Graph(model)
    for node in graph.nodes:
        if node.op_type != "Clip":
            continue
        low, high = _limits(graph, node)
        for reader in graph.readers[node.output[0]]:
            if reader.op_type != "QuantizeLinear":
                continue
            step, zero = (np.asarray(graph.constant(name)) for name in reader.input[1:3])
            least, most = np.iinfo(zero.dtype).min, np.iinfo(zero.dtype).max
            ends = [float(step) * (end - int(zero)) for end in (least, most)]
            if low <= ends[0] and ends[1] <= high * (1 + ROUNDING):
                reader.input[0] = node.input[0]
