"""Bound on constant folding: a kilobyte of ONNX can ask for a terabyte of memory.

Runtimes compute what depends on constants alone when they load a model. Here the sizes of these
values are followed, not the values; small ones, from which sizes are made, are computed. What
depends on the clip is not followed: its size is the run's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from deploy.backends.operator_dims import (
    TooLargeError,
    Value,
    attribute_of,
    product,
    result_dims,
)
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.onnx_file import OnnxGraph, read_graph

MOST = 1 << 26  # numbers, 256 MiB of float32; eight times those that stand in the file come on top
SMALL = 4096  # elements of a value that is computed
DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 11: "<f8"}
TYPED = {1: "float_data", 6: "int32_data", 7: "int64_data", 11: "double_data"}
COMPUTED: dict[str, Callable[..., Any]] = {
    "Identity": lambda a: a,
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Neg": lambda a: -a,
    "Max": np.maximum,
    "Min": np.minimum,
    "Squeeze": lambda a, *_: np.squeeze(a),
    "Unsqueeze": lambda a, *_: a.reshape(-1) if a.ndim == 0 else None,
    "Cast": lambda a: a.astype(np.int64) if np.all(np.abs(a) < 2**62) else None,
}


def look_at_graph(path: Path) -> OnnxGraph:
    """Read a model before a runtime does, and refuse what none should be given.

    Raises:
        UserError: no ONNX model (2); weights outside its folder, or constants that unfold to more
            than memory should be asked for (4).
    """
    again = "export it again"
    try:
        graph = read_graph(path)
        check_unfolding(graph)
    except TooLargeError as error:
        raise UserError(
            f"expected a model, refused '{path}': {error}; {again}", CHECK_FAILED
        ) from error
    except ValueError as error:
        raise UserError(
            f"expected an ONNX model, cannot load '{path}': {error}; {again}"
        ) from error
    for name in sorted(graph.external):
        if name != Path(name).name or name in ("", "."):
            message = f"expected weights beside '{path}', received the place {name!r}"
            raise UserError(f"{message}; {again}", CHECK_FAILED)
    return graph


def check_unfolding(graph: OnnxGraph) -> None:
    """Refuse a graph whose constants unfold to more than `MOST` numbers.

    Raises:
        TooLargeError: one line that names the node.
    """
    walk = _Walk()
    model = graph.model
    graphs = [model.graph]
    for training in model.training:
        graphs += [training.initialization, training.algorithm]
    for each in graphs:
        walk.graph(each, {}, Value(False))
    for function in model.functions:  # what it is called with is not followed into it
        walk.nodes(function.node, dict.fromkeys(function.input, Value(True)))


class _Walk:
    """Walk over a graph and those inside it."""

    def __init__(self) -> None:
        self._most = MOST
        self._total = 0

    def graph(self, graph: Any, outer: Mapping[str, Value], given: Value) -> None:
        known = {**outer, **{value.name: given for value in graph.input}}
        for tensor in graph.initializer:
            known[tensor.name] = _value(tensor)
            typed = sum(len(getattr(tensor, name)) for name in TYPED.values())
            self._most += 8 * (len(tensor.raw_data) // 4 + typed)
        for sparse in graph.sparse_initializer:
            known[sparse.values.name] = Value(True, tuple(sparse.dims))
            self._count("a sparse initializer", product(sparse.dims), True)
        self.nodes(graph.node, known)

    def nodes(self, nodes: Any, known: dict[str, Value]) -> None:
        makers = {name: index for index, node in enumerate(nodes) for name in node.output if name}
        needs = {
            index: {makers[name] for name in node.input if name in makers}
            for index, node in enumerate(nodes)
        }
        try:
            order = list(TopologicalSorter(needs).static_order())
        except CycleError as error:
            raise TooLargeError("its nodes run in a circle") from error
        for index in order:
            node = nodes[index]
            inputs = [known.get(name, Value(False)) for name in node.input if name]
            value = self._node(node, [known.get(name) for name in node.input], inputs)
            known.update(dict.fromkeys(node.output, value))
        for attribute in (each for node in nodes for each in node.attribute):
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                self.graph(inner, known, Value(False))  # it may use whatever is known out here

    def _node(self, node: Any, slots: list[Value | None], inputs: list[Value]) -> Value:
        name = f"{node.op_type} '{node.name or (node.output[0] if node.output else '')}'"
        constant = all(value.constant for value in inputs)
        if node.op_type == "Constant":
            value = _constant(node)
            self._count(name, value.count, True)
            return value
        result = _computed(node, inputs) if constant else None
        if result is not None:
            return Value(True, result.shape, result)
        dims = result_dims(node, slots, constant)
        if dims is None and constant:
            raise TooLargeError(f"{name} makes a constant whose size cannot be told beforehand")
        if dims is not None:
            self._count(name, product(dims), constant)
        return Value(constant, dims)

    def _count(self, name: str, count: int, constant: bool) -> None:
        self._total += count if constant else 0
        if max(count, self._total) > self._most:
            raise TooLargeError(
                f"{name} unfolds to {count:,} numbers (constants to {self._total:,} so far), more "
                f"than {self._most:,}"
            )


def _constant(node: Any) -> Value:
    for attribute in node.attribute:
        if attribute.name == "value":
            return _value(attribute.t)
        if attribute.name == "sparse_value":
            return Value(True, tuple(attribute.sparse_tensor.dims))
        if attribute.name == "value_int":
            return Value(True, (), np.array(attribute.i))
        if attribute.name == "value_ints":
            ints = np.array(attribute.ints, np.int64)
            return Value(True, ints.shape, ints if len(ints) <= SMALL else None)
        if attribute.name == "value_floats":
            return Value(True, (len(attribute.floats),))
    return Value(True, ())


def _value(tensor: Any) -> Value:
    """An initializer or constant, its elements where they are few."""
    dims, count = tuple(tensor.dims), product(tensor.dims)
    data = None
    dtype = DTYPES.get(tensor.data_type)
    if dtype and count <= SMALL and not tensor.data_location:
        if len(tensor.raw_data) == count * np.dtype(dtype).itemsize:
            data = np.frombuffer(tensor.raw_data, dtype)
        elif not tensor.raw_data and tensor.data_type in TYPED:
            data = np.array(getattr(tensor, TYPED[tensor.data_type]), dtype)
        data = data.reshape(dims) if data is not None and data.size == count else None
    return Value(True, dims, data)


def _computed(node: Any, inputs: list[Value]) -> np.ndarray | None:
    """The elements of a small result, None where they are many or not known."""
    data = [value.data for value in inputs if value.data is not None]
    if len(data) < len(inputs) or not data:
        return None
    try:
        with np.errstate(all="ignore"):
            if node.op_type == "Concat" and sum(each.size for each in data) <= SMALL:
                found = np.concatenate(data, attribute_of(node, "axis").i)
            elif node.op_type in COMPUTED and math.prod(each.size for each in data) <= SMALL**2:
                found = COMPUTED[node.op_type](*data)
            else:
                return None
    except (ValueError, TypeError, AttributeError):
        return None
    return found if found is not None and found.size <= SMALL else None
