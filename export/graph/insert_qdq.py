"""Q/DQ insertion: QuantizeLinear and DequantizeLinear around what computes, as TensorRT wants it.

Symmetric int8, zero points 0; weights per output channel (axis 0), activations per tensor, the
skip branch of residual adds quantised so that the add joins its convolution. Pure ONNX: quantised
training and calibration end in the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.float_islands import float_islands, projection_nodes
from export.graph.onnx_graph import Additions, Graph, drop_unused, sort_nodes

if TYPE_CHECKING:
    import onnx

LARGEST = 127  # of symmetric int8; -128 is not used
LEAST_SCALE = 2.0**-14  # the least normal float16: scales may be cast to it


def quantisable(proto: onnx.ModelProto) -> list[str]:
    """Tensors that `insert_qdq` would quantise if it knew their ranges, in the graph's order.

    Inputs of convolutions and skip branches of residual adds. Left float: DFDC's projections and
    scores, the head, and convolutions of a single pixel (the channel attention).
    """
    graph = Graph(proto).infer(batch=1)
    islands = float_islands(proto)
    wanted = {node.input[0] for node in _convolutions(graph)}
    wanted |= {name for _, name in _skips(graph)}
    made = [name for node in graph.nodes for name in node.output]
    return [name for name in made if name in wanted and graph.makers[name].output[0] not in islands]


def insert_qdq(proto: onnx.ModelProto, ranges: Mapping[str, float]) -> onnx.ModelProto:
    """Quantise a float32 graph; fold its batch norms first (`fold_batch_norm`).

    Args:
        proto: Left as it is.
        ranges: Activation tensor → largest magnitude to represent, finite and >= 0. A convolution
            whose input has no range stays float; so does a residual add without one.

    Returns:
        A new graph of the same opset, types and names of its interface. Weights stay float32 with
        Q/DQ behind them: TensorRT 8.6 folds these but reads no int8 constants.

    Raises:
        ValueError: a range is negative or not finite.
    """
    result = deepcopy(proto)
    graph, pairs = Graph(result).infer(batch=1), Pairs(result)
    skips = _skips(graph)
    for node in _convolutions(graph):
        if node.input[0] in ranges:
            tops = channel_tops(graph.constant(node.input[1]))
            node.input[0] = pairs.of(node.input[0], np.asarray(ranges[node.input[0]]))
            node.input[1] = pairs.of(node.input[1], tops, axis=0)
    for node, name in skips:
        if name in ranges:
            quantised = pairs.of(name, np.asarray(ranges[name]))
            node.input[list(node.input).index(name)] = quantised
    sort_nodes(result)
    drop_unused(result)
    return result


def _convolutions(graph: Graph) -> list[Any]:
    """Convolutions with stored weights and more than one pixel, DFDC's projections left out."""
    kept = projection_nodes(graph)

    def fits(node: Any) -> bool:
        pixels = (graph.shape(node.output[0]) or ())[2:]
        return (
            node.op_type == "Conv"
            and node.input[1] in graph.weights
            and node.output[0] not in kept
            and graph.constant(node.input[0]) is None
            and any(size != 1 for size in pixels)
        )

    return [node for node in graph.nodes if fits(node)]


def _skips(graph: Graph) -> list[tuple[Any, str]]:
    """Residual adds, each with the branch that does not come from the convolution it joins."""
    quantised = {node.output[0] for node in _convolutions(graph)}
    found = []
    for node in graph.nodes:
        if node.op_type != "Add" or any(graph.constant(name) is not None for name in node.input):
            continue
        from_conv = [name for name in node.input if name in quantised]
        other = [name for name in node.input if name not in from_conv[:1]]
        if from_conv and len(other) == 1 and other[0] in graph.makers:
            found.append((node, other[0]))
    return found


def channel_tops(values: Any) -> np.ndarray:
    """Return the largest magnitude of each output channel ``(C,)`` of weights ``(C, …)``."""
    return np.asarray(np.abs(values).reshape(len(values), -1).max(axis=1), np.float64)


class Pairs:
    """Q/DQ pairs behind tensors of a graph, one for each."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.add = Additions(model)
        self.made: dict[str, tuple[str, np.ndarray]] = {}

    def of(self, name: str, top: np.ndarray, axis: int | None = None) -> str:
        """The dequantised tensor behind `name`; `top` is a number, or one per channel."""
        if not (np.all(np.isfinite(top)) and np.all(top >= 0)):
            raise ValueError(f"expected finite ranges >= 0 for '{name}', received {top}")
        if name in self.made and np.array_equal(self.made[name][1], top):
            return self.made[name][0]
        scale = np.where(top > 0, np.maximum(top / LARGEST, LEAST_SCALE), 1.0).astype(np.float32)
        zeros = np.zeros(scale.shape, np.int8)
        steps = [
            self.add.constant(f"{name}/scale", scale),
            self.add.constant(f"{name}/zero_point", zeros),
        ]
        extra = {} if axis is None else {"axis": axis}
        rounded = self.add.node("QuantizeLinear", [name, *steps], f"{name}/int8", **extra)
        result = self.add.node(
            "DequantizeLinear", [rounded, *steps], f"{name}/dequantised", **extra
        )
        self.made[name] = (result, top)
        return result
