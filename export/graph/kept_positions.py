"""DFDC's gather and scatter as ONNX's element-wise operators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.onnx_graph import Additions, Graph, drop_unused
from keras_ddl.edge.bundle import GATHER, SCATTER

if TYPE_CHECKING:
    import onnx


def rewrite_kept_positions(proto: onnx.ModelProto, layers: Iterable[Any]) -> int:
    """Let DFDC read and write its kept positions with GatherElements and ScatterElements.

    In the channels-first layout TensorFlow can say "these positions of every channel" only with
    one flat index per value; ONNX has operators that take the positions alone, write in place and
    need no index arithmetic. The values are the same to the bit.

    Args:
        proto: Changed in place; nodes are found by the names that DFDC gives them.
        layers: The DFDC layers.

    Returns:
        How many of the layers were rewritten; a layer whose nodes are not as expected is left
        alone.
    """
    add, rewritten = Additions(proto), 0
    for layer in layers:
        found = {
            kind: node
            for node in proto.graph.node
            for kind in (GATHER, SCATTER)
            if node.name.endswith(f"/{layer.name}/{kind}")
        }
        graph = Graph(proto)
        top = _source(graph, found[GATHER].input[1], "TopK") if len(found) == 2 else None
        if top is not None and found[SCATTER].op_type == "ScatterND":
            _rewrite(graph, layer, {**found, "TopK": top}, add)
            rewritten += 1
    drop_unused(proto)
    return rewritten


def _source(graph: Graph, tensor: str, kind: str) -> Any | None:
    """The nearest node of one kind that a tensor is computed from."""
    queue = [tensor]
    for name in queue:
        node = graph.makers.get(name)
        if node is not None and node.op_type == kind:
            return node
        queue += node.input if node is not None else ()
    return None


def _rewrite(graph: Graph, dfdc: Any, found: dict[str, Any], add: Additions) -> None:
    from onnx import helper

    layer, frames, channels = dfdc.name, dfdc.frames, dfdc.value.filters
    gather, scatter, top = found[GATHER], found[SCATTER], found["TopK"]
    image = graph.makers[scatter.input[0]].input[0]

    def constant(name: str, values: list[int]) -> str:
        return add.constant(f"{layer}/{name}", np.array(values, np.int64))

    def node(kind: str, inputs: list[str], name: str, **attributes: Any) -> Any:
        return helper.make_node(kind, inputs, [name], name=name, **attributes)

    names = ("rows", "kept", "kept_wide", "found")
    rows, index, wide, found_rows = (f"{layer}/{name}" for name in names)
    kept = int(np.asarray(graph.constant(top.input[1])).ravel()[0])  # K
    clips = [-1, frames, channels, kept]
    before = [  # rows (B·T, C, P); kept positions (B, K) → one row of them per row of the image
        node("Reshape", [image, constant("shape_image", [0, 0, -1])], rows),
        node("Unsqueeze", [top.output[1], constant("axes", [1, 2])], f"{index}_4d"),
        node("Expand", [f"{index}_4d", constant("shape_expand", [1, frames, channels, 1])], wide),
        node("Reshape", [wide, constant("shape_kept", [-1, channels, kept])], index),
        node("GatherElements", [rows, index], found_rows, axis=2),
        node("Reshape", [found_rows, constant("shape_found", clips)], gather.output[0]),
    ]
    after = [
        node("Reshape", [scatter.input[2], f"{layer}/shape_kept"], f"{layer}/updates"),
        node("ScatterElements", [rows, index, f"{layer}/updates"], scatter.output[0], axis=2),
    ]
    _replace(add.model.graph, gather, before)
    _replace(add.model.graph, scatter, after)
    # A runtime writes in place only where it is told that source and result have one size.
    size = [f"{layer}/frames", channels, f"{layer}/positions"]
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dfdc.compute_dtype))
    for tensor in (rows, scatter.output[0]):
        add.model.graph.value_info.append(helper.make_tensor_value_info(tensor, kind, size))


def _replace(graph: Any, old: Any, new: list[Any]) -> None:
    """Put nodes where another was; the list stays in an order that can be run."""
    nodes = list(graph.node)
    at = next(place for place, node in enumerate(nodes) if node.name == old.name)
    nodes[at : at + 1] = new
    del graph.node[:]
    graph.node.extend(nodes)
