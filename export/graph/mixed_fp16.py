"""Mixed float16: a float32 graph with float16 in it, as strongly typed TensorRT wants it.

Everything becomes float16 except islands: DFDC's scores and the head by structure, what comes near
float16's largest number by measurement, constants that float16 would lose by value. Inputs and
outputs keep their types.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.float_islands import float_islands
from export.graph.onnx_graph import (
    Additions,
    Graph,
    drop_unused,
    formals,
    read_instead,
    sort_nodes,
    unused_name,
)

if TYPE_CHECKING:
    import onnx

LARGEST = float(np.finfo(np.float16).max)  # 65504
LEAST = float(np.finfo(np.float16).tiny)  # 6.1e-5, the least with full precision
HALF_SCALES = 19  # the opset from which Q/DQ may have float16 scales
HEADROOM = 4  # clips to come may be this much louder than those measured
AGNOSTIC = ("Shape", "Size")  # read any type and return none of it
_FLOAT, _HALF = 1, 10  # of onnx.TensorProto


def float_tensors(proto: onnx.ModelProto) -> list[str]:
    """Every computed float32 tensor: those whose ranges `mixed_fp16` wants to know."""
    graph = Graph(proto).infer()
    return [name for node in graph.nodes for name in node.output if graph.dtype(name) == _FLOAT]


def raise_opset(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Bring a graph to the opset in which scales may be float16, unless it is there."""
    if Graph(proto).opset >= HALF_SCALES:
        return proto
    from onnx import version_converter

    properties = list(proto.metadata_props)
    result: onnx.ModelProto = version_converter.convert_version(proto, HALF_SCALES)
    del result.metadata_props[:]
    result.metadata_props.extend(properties)
    return result


def computes_in_float16(proto: onnx.ModelProto) -> bool:
    """Whether a graph has float16 constants: weights, or the scales of quantised ones."""
    return any(tensor.data_type == _HALF for tensor in proto.graph.initializer)


def loud_nodes(proto: onnx.ModelProto, ranges: Mapping[str, float]) -> set[str]:
    """First outputs of the nodes that make or read what comes near float16's largest number."""
    loud = {name for name, top in ranges.items() if top > LARGEST / HEADROOM}
    return {node.output[0] for node in proto.graph.node if loud & {*node.input, *node.output}}


def mixed_fp16(
    proto: onnx.ModelProto,
    ranges: Mapping[str, float] | None = None,
) -> onnx.ModelProto:
    """Convert a float32 graph.

    Args:
        proto: Left as it is. With Q/DQ nodes it needs opset 19, from which scales may be float16.
        ranges: Tensor → largest magnitude measured (`collect_ranges` over `float_tensors`).

    Returns:
        A new graph with the same interface and opset; Casts stand where the types change.

    Raises:
        ValueError: the graph has control flow, or is quantised with an opset below 19.
    """
    result = deepcopy(proto)
    graph = Graph(result).infer()
    for node in graph.nodes:
        if any(attribute.HasField("g") for attribute in node.attribute):
            raise ValueError(f"cannot convert control flow, '{node.name}' is {node.op_type}")
    if graph.opset < HALF_SCALES and any(node.op_type == "QuantizeLinear" for node in graph.nodes):
        raise ValueError(f"float16 scales need opset {HALF_SCALES}, received {graph.opset}")
    islands = float_islands(proto) | loud_nodes(proto, ranges or {})
    halves = [n for n in graph.nodes if n.output[0] not in islands and _can_be_half(graph, n)]
    _Converter(graph, halves).run()
    del result.graph.value_info[:]  # the types noted there are no longer so
    sort_nodes(result)
    drop_unused(result)
    return result


def _can_be_half(graph: Graph, node: Any) -> bool:
    """Whether a node makes floats, may make them in float16, and loses no constant by it."""
    if not any(graph.dtype(name) == _FLOAT for name in node.output):
        return False
    for formal, place, name in formals(graph, node):
        fixed = "tensor(float16)" not in formal.types
        if graph.dtype(name) == _FLOAT and fixed and not _stays(node, place):
            return False
    return all(_survives(graph.constant(name)) for name in _floats(graph, node))


def _survives(values: np.ndarray | None) -> bool:
    if values is None or values.size == 0:
        return True
    top = float(np.abs(values).max())
    return top == 0 or LEAST <= top <= LARGEST


def _stays(node: Any, place: int) -> bool:
    """Resize's region and scales are float32 whatever it resizes."""
    return node.op_type == "Resize" and place > 0


def _floats(graph: Graph, node: Any) -> list[str]:
    """The float inputs that follow the node's type."""
    names = [name for place, name in enumerate(node.input) if not _stays(node, place)]
    return [name for name in names if name and graph.dtype(name) == _FLOAT]


class _Converter:
    """Turns some nodes to float16 and puts a Cast wherever a reader wants the other type."""

    def __init__(self, graph: Graph, halves: list[Any]) -> None:
        self.graph, self.add = graph, Additions(graph.model)
        self.halves = {node.output[0] for node in halves}
        self.half_tensors = {
            name for node in halves for name in node.output if graph.dtype(name) == _FLOAT
        }
        self.casts: dict[str, str] = {}

    def run(self) -> None:
        for node in self.graph.nodes:
            if node.op_type not in AGNOSTIC:
                self._inputs(node)
        for node in self.graph.nodes:
            if node.output[0] in self.halves:
                _retype(node)
        for name in sorted(self.graph.outputs & self.half_tensors):
            self._restore(name)

    def _inputs(self, node: Any) -> None:
        half = node.output[0] in self.halves
        for place, name in enumerate(node.input):
            if not name or self.graph.dtype(name) != _FLOAT or _stays(node, place):
                continue
            if name in self.graph.weights:
                if half:
                    node.input[place] = self._half_weight(name)
            elif (name in self.half_tensors) != half:
                node.input[place] = self._cast(name, _HALF if half else _FLOAT)

    def _half_weight(self, name: str) -> str:
        if name not in self.casts:
            value = np.asarray(self.graph.constant(name)).astype(np.float16)
            self.casts[name] = self.add.constant(f"{name}/float16", value)
        return self.casts[name]

    def _cast(self, name: str, kind: int) -> str:
        if name not in self.casts:
            suffix = "float16" if kind == _HALF else "float32"
            self.casts[name] = self.add.node("Cast", [name], f"{name}/{suffix}", to=kind)
        return self.casts[name]

    def _restore(self, output: str) -> None:
        """Give an output of the graph its own type back; what reads it inside keeps reading."""
        from onnx import helper

        inner, nodes = unused_name(self.add.taken, f"{output}/float16"), self.graph.model.graph.node
        maker = self.graph.makers[output]
        maker.output[:] = [inner if name == output else name for name in maker.output]
        read_instead(nodes, {output: inner})
        if output in self.casts:  # made before for a float32 reader inside
            read_instead(nodes, {self.casts[output]: output})
        nodes.append(helper.make_node("Cast", [inner], [output], f"{output}/restored", to=_FLOAT))


def _retype(node: Any) -> None:
    """Say float16 where a node states its result's type."""
    from onnx import numpy_helper

    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FLOAT:
            attribute.i = _HALF
        elif attribute.name == "value" and attribute.t.data_type == _FLOAT:
            value = np.asarray(numpy_helper.to_array(attribute.t).astype(np.float16))
            attribute.t.CopyFrom(numpy_helper.from_array(value, attribute.t.name))
        elif attribute.name == "output_dtype" and attribute.i == _FLOAT:
            attribute.i = _HALF
