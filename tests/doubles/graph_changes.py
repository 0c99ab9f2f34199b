"""Copies of ONNX graphs, as they are or with a fault, for tests whose graphs are everyone's."""

from __future__ import annotations

from typing import Any


def copy_of(proto: Any) -> Any:
    """A copy to change."""
    result = type(proto)()
    result.CopyFrom(proto)
    return result


def spoil(proto: Any, layer: str) -> Any:
    """The same graph with the kernel of one layer turned round."""
    import onnx

    result = copy_of(proto)
    convolutions = [node for node in result.graph.node if node.op_type == "Conv"]
    node = next(n for n in convolutions if f"/{layer}/" in " ".join([n.name, *n.input]))
    makers = {name: made for made in result.graph.node for name in made.output}
    weight = node.input[1]
    while weight in makers:  # a Cast or a quantiser of the kernel
        weight = makers[weight].input[0]
    tensor = next(t for t in result.graph.initializer if t.name == weight)
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(-values, weight))
    return result
