"""Converting the same network twice gives the same names in the same order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

NUMBERED = re.compile(r"^model_\d+/")  # the scope of the second model of a process


@contextmanager
def steady_conversion() -> Iterator[None]:
    """Let tf2onnx 1.17 walk its sets of nodes by name, and count its names from 1.

    It walks them in an order that follows addresses in memory, so that of two equal nodes now one
    and now the other is kept. Not for several threads at once.
    """
    from tf2onnx import utils
    from tf2onnx.graph import Graph

    walks = ("extract_sub_graph_nodes", "find_output_consumers")
    before = {name: getattr(Graph, name) for name in walks}
    number, utils.INTERNAL_NAME = utils.INTERNAL_NAME, 1
    try:
        for name, walk in before.items():
            setattr(Graph, name, _by_name(walk))
        yield
    finally:
        for name, walk in before.items():
            setattr(Graph, name, walk)
        utils.INTERNAL_NAME = number


def _by_name(walk: Callable[..., Any]) -> Callable[..., list[Any]]:
    def walked(*arguments: Any, **options: Any) -> list[Any]:
        return sorted(walk(*arguments, **options), key=lambda node: str(node.name))

    return walked


def drop_number(proto: onnx.ModelProto) -> None:
    """Call the scope of the whole network `model`, however many models the process has made."""
    for node in proto.graph.node:
        node.name = NUMBERED.sub("model/", node.name)
        for edges in (node.input, node.output):
            edges[:] = [NUMBERED.sub("model/", edge) for edge in edges]
    for value in (*proto.graph.initializer, *proto.graph.value_info):
        value.name = NUMBERED.sub("model/", value.name)
