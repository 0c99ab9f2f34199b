"""uint8 inputs for TensorRT, which reads uint8 nowhere else: a Cast comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.graph.onnx_graph import (
    Graph,
    all_names,
    attribute,
    read_instead,
    sort_nodes,
    unused_name,
)

if TYPE_CHECKING:
    import onnx

MOVES = ("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice")


def cast_inputs_first(proto: onnx.ModelProto) -> int:
    """Convert uint8 inputs to floats before anything else looks at them.

    Exporters leave `input → Reshape → Cast`; moving bytes and moving numbers are the same, so the
    Cast may come first.

    Args:
        proto: Changed in place.

    Returns:
        How many inputs were changed; those whose Cast came first already are left alone.

    Raises:
        ValueError: something other than a move reads a uint8 input, or it becomes neither float32
            nor float16, or both.
    """
    from onnx import TensorProto, helper

    graph = Graph(proto)
    taken = all_names(proto)
    changed = 0
    for value in proto.graph.input:
        if value.type.tensor_type.elem_type != TensorProto.UINT8:
            continue
        readers = list(graph.readers[value.name])
        if all(node.op_type == "Cast" for node in readers):
            continue
        casts = _casts(graph, value.name)
        kinds = {attribute(cast, "to", 0) for cast in casts}
        if kinds not in ({TensorProto.FLOAT}, {TensorProto.FLOAT16}):
            names = ", ".join(cast.name for cast in casts)
            raise ValueError(f"expected Casts to float32 or to float16 alone, received {names}")
        for cast in casts:
            cast.op_type = "Identity"  # of the same type now; runtimes drop it
            del cast.attribute[:]
        (kind,) = kinds
        name = "float32" if kind == TensorProto.FLOAT else "float16"
        first = unused_name(taken, f"{value.name}/{name}")
        read_instead(readers, {value.name: first})
        node = helper.make_node(
            "Cast", [value.name], [first], name=unused_name(taken, first), to=kind
        )
        proto.graph.node.insert(0, node)
        changed += 1
    if changed:
        # What was noted of types between input and Cast is no longer so.
        uint8 = [v for v in proto.graph.value_info if v.type.tensor_type.elem_type == 2]
        for value in uint8:
            proto.graph.value_info.remove(value)
        sort_nodes(proto)
    return changed


def _casts(graph: Graph, tensor: str) -> list[Any]:
    """The Cast nodes in which every path of moves from a tensor ends."""
    found = []
    for node in graph.readers[tensor]:
        if node.op_type == "Cast":
            found.append(node)
        elif node.op_type in MOVES and node.input[0] == tensor:
            found += [cast for name in node.output for cast in _casts(graph, name)]
        else:
            raise ValueError(f"'{node.name}' computes with uint8 ({node.op_type})")
    return found
