"""What a graph holds, in numbers that say whether an export is clean."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class GraphCounts:
    """Numbers of nodes.

    Attributes:
        nodes: All of them.
        transposes: Layout changes among them.
        batch_norms: Those that no convolution has taken in.
        unused: Nodes and constants that nothing reads and that are no output.
    """

    nodes: int
    transposes: int
    batch_norms: int
    unused: int

    @classmethod
    def of(cls, proto: onnx.ModelProto) -> GraphCounts:
        """Count a graph's nodes."""
        kinds = Counter(node.op_type for node in proto.graph.node)
        return cls(
            sum(kinds.values()), kinds["Transpose"], kinds["BatchNormalization"], len(unused(proto))
        )

    def __str__(self) -> str:
        return (
            f"{self.nodes} nodes, {self.transposes} Transposes, "
            f"{self.batch_norms} batch norms, {self.unused} unused"
        )


def unused(proto: onnx.ModelProto) -> list[str]:
    """Names of the nodes and constants whose results nothing reads, outputs excepted."""
    graph = proto.graph
    read = {name for node in graph.node for name in node.input}
    read |= {value.name for value in graph.output}
    dead = [node.name or node.output[0] for node in graph.node if not read & set(node.output)]
    return dead + [tensor.name for tensor in graph.initializer if tensor.name not in read]
