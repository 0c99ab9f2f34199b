"""Float islands: parts of a graph that must stay float32, DFDC's scores and map, and the head.

DFDC normalises by 1e-12 and compares variances of 1e-8: neither exists in float16. They are found
by structure, around TopK, for a converter's node names do not survive its clean-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from export.graph.onnx_graph import Graph

if TYPE_CHECKING:
    import onnx

PROJECTIONS = ("Conv", "ConvTranspose", "Gemm")
_FLOATS = (1, 10, 11, 16)  # float32, float16, float64, bfloat16 of onnx.TensorProto


def score_nodes(graph: Graph) -> set[str]:
    """First outputs of the nodes between DFDC's projections and what its scores multiply.

    Backwards from each TopK to the projections, these left out; then forwards through every node
    that has no float input from elsewhere: choice, min-max, inconsistency map.

    Args:
        graph: After `infer`.
    """
    inside, _ = _back_to_projections(graph)
    made = {name for node in graph.nodes if node.output[0] in inside for name in node.output}
    for node in graph.nodes:
        computed = [name for name in node.input if name and graph.constant(name) is None]
        floats = [name for name in computed if graph.dtype(name) in _FLOATS]
        if made & set(computed) and made.issuperset(floats) and node.op_type not in PROJECTIONS:
            inside.add(node.output[0])
            made.update(node.output)
    return inside


def projection_nodes(graph: Graph) -> set[str]:
    """First outputs of the convolutions whose results are DFDC's scores."""
    return _back_to_projections(graph)[1]


def _back_to_projections(graph: Graph) -> tuple[set[str], set[str]]:
    """From every TopK backwards: what lies between, and the projections where the walk ends."""
    tops = [node.input[0] for node in graph.nodes if node.op_type == "TopK"]
    return _walk_back(graph, tops, PROJECTIONS)


def head_nodes(graph: Graph) -> set[str]:
    """First outputs of the nodes between the pooled features and the graph's outputs: the head."""
    stops = (*PROJECTIONS[:2], "GlobalAveragePool", "GlobalMaxPool", "ReduceMean")
    return _walk_back(graph, graph.outputs, stops)[0]


def _walk_back(
    graph: Graph, tensors: Iterable[str], stops: Sequence[str]
) -> tuple[set[str], set[str]]:
    """First outputs of the nodes that tensors come from, and of those where the walk stops."""
    inside: set[str] = set()
    ends: set[str] = set()
    queue = list(tensors)
    while queue:
        node = graph.makers.get(queue.pop())
        if node is None or node.output[0] in inside:
            continue
        if node.op_type in stops:
            ends.add(node.output[0])
        else:
            inside.add(node.output[0])
            queue.extend(node.input)
    return inside, ends


def float_islands(proto: onnx.ModelProto) -> set[str]:
    """First outputs of every node that stays float32 whatever the clips show."""
    graph = Graph(proto).infer()
    return score_nodes(graph) | head_nodes(graph)
