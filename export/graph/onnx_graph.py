"""ONNX graphs: makers, readers, values, types and shapes of tensors; names, order, clean-up."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.edge.errors import MISSING, USAGE, UserError

if TYPE_CHECKING:
    import onnx


def need_onnx() -> Any:
    """Import onnx.

    Raises:
        UserError: it is not installed; exit code 3.
    """
    try:
        import onnx
    except ImportError as error:
        raise UserError(
            f"preparing a graph for TensorRT needs onnx ({error}): pip install 'keras-ddl[trt]'",
            MISSING,
        ) from error
    return onnx


def load_model(path: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        UserError: onnx is not installed (3), or the file is not a model (2).
    """
    library = need_onnx()
    try:
        proto: onnx.ModelProto = library.load(str(path))
        library.checker.check_model(proto)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror or error}", USAGE) from error
    except Exception as error:  # protobuf's and the checker's classes have no common public base
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"expected an ONNX model, cannot read '{path}': {reason}; export it again", USAGE
        ) from error
    return proto


class Graph:
    """A model seen as a graph. What it holds goes stale when nodes are added or removed.

    Attributes:
        model: The model itself, not a copy.
        nodes: Its nodes, in an order in which they can be run.
        makers: Tensor name → the node that makes it.
        readers: Tensor name → the nodes that read it.
        weights: Tensor name → initializer.
        outputs: Names of what it returns.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes = list(model.graph.node)
        self.makers = {name: node for node in self.nodes for name in node.output if name}
        self.readers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                if name:
                    self.readers[name].append(node)
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.outputs = {value.name for value in model.graph.output}
        self._values: dict[str, Any] = {}

    @property
    def opset(self) -> int:
        """Version of the ONNX operator set; 0 where the model names none."""
        versions = [o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")]
        return int(versions[0]) if versions else 0

    def kind(self, name: str) -> str:
        """The operator that makes a tensor; "" for inputs and initializers."""
        return self.makers[name].op_type if name in self.makers else ""

    def constant(self, name: str) -> np.ndarray | None:
        """The value of an initializer or a Constant node; None for what is computed."""
        from onnx import numpy_helper

        if name in self.weights:
            return np.asarray(numpy_helper.to_array(self.weights[name]))
        if self.kind(name) != "Constant":
            return None
        value = attribute(self.makers[name], "value", None)
        return None if value is None else np.asarray(numpy_helper.to_array(value))

    def infer(self, batch: int | None = None) -> Graph:
        """Work out types and shapes, so that `dtype` and `shape` can answer.

        Args:
            batch: Size to give the first dimension of every input; None leaves it open.
        """
        from onnx import shape_inference

        copy = deepcopy(self.model)
        for value in copy.graph.input if batch is not None else ():
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].dim_value = batch
        if batch is not None:
            del copy.graph.value_info[:]  # what was noted there was noted for an open batch
        graph = shape_inference.infer_shapes(copy, data_prop=True).graph
        for value in (*graph.value_info, *graph.input, *graph.output):
            self._values[value.name] = value.type.tensor_type
        return self

    def dtype(self, name: str) -> int:
        """ONNX's number of a tensor's type, 0 where it is not known. Needs `infer`."""
        if name in self.weights:
            return int(self.weights[name].data_type)
        return int(self._values[name].elem_type) if name in self._values else 0

    def shape(self, name: str) -> tuple[int | None, ...] | None:
        """A tensor's shape, None for an open dimension or a shape not known. Needs `infer`."""
        if name in self.weights:
            return tuple(self.weights[name].dims)
        if name not in self._values or not self._values[name].HasField("shape"):
            return None
        sizes = self._values[name].shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in sizes)


def formals(graph: Graph, node: Any) -> Iterator[tuple[Any, int, str]]:
    """(Formal parameter of ONNX's schema, place, tensor) of a node's inputs, then its outputs."""
    from onnx import defs

    schema = defs.get_schema(node.op_type, graph.opset)
    for parameters, names in ((schema.inputs, node.input), (schema.outputs, node.output)):
        for place, name in enumerate(names):
            if name:
                yield parameters[min(place, len(parameters) - 1)], place, name


def attribute(node: Any, name: str, default: Any) -> Any:
    """The value of a node's attribute, `default` where it does not state it."""
    from onnx import helper

    for entry in node.attribute:
        if entry.name == name:
            return helper.get_attribute_value(entry)
    return default


def unused_name(taken: set[str], wish: str) -> str:
    """A name that is not in `taken`, which then holds it: the wish itself where it is free."""
    name, number = wish, 1
    while name in taken:
        name, number = f"{wish}_{number}", number + 1
    taken.add(name)
    return name


def all_names(model: onnx.ModelProto) -> set[str]:
    """Every tensor and node name of a graph."""
    graph = model.graph
    names = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    return names | {value.name for value in (*graph.input, *graph.output, *graph.initializer)}


def read_instead(nodes: Iterable[Any], tensors: Mapping[str, str]) -> None:
    """Let nodes read other tensors: name → name of what is read from now on."""
    for node in nodes:
        node.input[:] = [tensors.get(name, name) for name in node.input]


class Additions:
    """Constants and nodes added to a model, at the end of its lists and under names that are free.

    Args:
        model: Changed in place.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.taken = all_names(model)

    def constant(self, wish: str, value: Any) -> str:
        """Add an initializer and return its name."""
        from onnx import numpy_helper

        name = unused_name(self.taken, wish)
        self.model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], wish: str, **attributes: Any) -> str:
        """Add a node that makes one tensor, named as the node, and return that name."""
        from onnx import helper

        name = unused_name(self.taken, wish)
        node = helper.make_node(kind, inputs, [name], name=name, **attributes)
        self.model.graph.node.append(node)
        return name


def sort_nodes(model: onnx.ModelProto) -> None:
    """Put the nodes into an order that can be run, otherwise the one they have.

    Raises:
        ValueError: a node needs, directly or not, what it makes itself.
    """
    graph = model.graph
    waiting = list(graph.node)
    made_later = {name for node in waiting for name in node.output if name}
    ordered: list[Any] = []
    while waiting:
        left = []
        for node in waiting:
            if made_later & set(node.input):
                left.append(node)
            else:
                ordered.append(node)
                made_later -= set(node.output)
        if len(left) == len(waiting):
            raise ValueError(f"the graph has a circle through '{left[0].name}'")
        waiting = left
    del graph.node[:]
    graph.node.extend(ordered)


def drop_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and constants that no output needs."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed.update(node.input)
            kept.append(node)
    constants = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(kept))
    graph.initializer.extend(constants)


def with_outputs(proto: onnx.ModelProto, names: Iterable[str]) -> onnx.ModelProto:
    """Copy a graph and let it return some of its tensors instead."""
    from onnx import helper

    probe, types = deepcopy(proto), Graph(proto).infer(batch=1)
    del probe.graph.output[:]
    for name in dict.fromkeys(names):
        kind = types.dtype(name)
        probe.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    return probe


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
