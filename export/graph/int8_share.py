"""Share of a network's operations that are int8: `python -m export.graph.int8_share MODEL.onnx`.

Counts multiply-accumulates (MACs) of convolutions and matrix products. A node counts as int8 when
both its inputs come from DequantizeLinear: this is what TensorRT fuses into an int8 kernel.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.graph.onnx_graph import Graph, attribute, load_model
from keras_ddl.edge.errors import Parser, run_cli

if TYPE_CHECKING:
    import onnx

COUNTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")


@dataclass(frozen=True)
class MacNode:
    """One convolution or matrix product.

    Attributes:
        name: The node's name.
        kind: Its operator.
        macs: Multiply-accumulates for one clip.
        int8: Whether both inputs come from DequantizeLinear.
    """

    name: str
    kind: str
    macs: int
    int8: bool


@dataclass(frozen=True)
class Int8Share:
    """All convolutions and matrix products of a graph, in its order."""

    nodes: tuple[MacNode, ...]

    @property
    def macs(self) -> int:
        """MACs of the whole graph for one clip."""
        return sum(node.macs for node in self.nodes)

    @property
    def share(self) -> float:
        """Part of the MACs that are int8, in [0, 1]; 0 for a graph without any."""
        return sum(node.macs for node in self.nodes if node.int8) / max(1, self.macs)

    def __str__(self) -> str:
        float_nodes = sum(not node.int8 for node in self.nodes)
        return (
            f"int8: {self.share:.1%} of {self.macs / 1e6:.1f} MMAC a clip "
            f"({len(self.nodes) - float_nodes} of {len(self.nodes)} nodes)"
        )


def int8_share(proto: onnx.ModelProto) -> Int8Share:
    """Count the MACs of a graph, for one clip, and those of them that are int8.

    Args:
        proto: A model. A dimension that shape inference cannot tell counts as 1: it is the batch.
    """
    graph = Graph(proto).infer(batch=1)
    rows = (
        MacNode(node.name, node.op_type, _macs(graph, node), is_int8(graph, node))
        for node in graph.nodes
        if node.op_type in COUNTED
    )
    return Int8Share(tuple(rows))


def _macs(graph: Graph, node: Any) -> int:
    first, second = (_sizes(graph, name) for name in node.input[:2])
    result = math.prod(_sizes(graph, node.output[0]))
    if node.op_type == "Conv":  # weights (out, in / group, …): each result needs in / group × …
        return result * math.prod(second[1:])
    if node.op_type == "ConvTranspose":  # weights (in, out / group, …): each input is spread
        return math.prod(first) * math.prod(second[1:])
    if not first:
        return result
    transposed = attribute(node, "transA", 0)  # Gemm alone has it
    return result * first[0 if transposed else -1]


def _sizes(graph: Graph, name: str) -> list[int]:
    return [size or 1 for size in graph.shape(name) or ()]


def is_int8(graph: Graph, node: Any) -> bool:
    """Whether both inputs of a convolution or matrix product come from DequantizeLinear."""
    return all(graph.kind(name) == "DequantizeLinear" for name in node.input[:2])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m export.graph.int8_share", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("model", type=Path, help="an ONNX file")
    arguments = parser.parse_args(argv)

    def body() -> int:
        found = int8_share(load_model(arguments.model))
        for node in sorted(found.nodes, key=lambda node: -node.macs):
            kind = "int8 " if node.int8 else "float"
            print(f"{kind} {node.macs / max(1, found.macs):6.1%} {node.kind:8} {node.name}")
        print(found)
        return 0

    return run_cli(body)


if __name__ == "__main__":
    sys.exit(main())
