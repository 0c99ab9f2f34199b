"""Size of what a graph's constants unfold to: a kilobyte of ONNX can ask for a terabyte of memory.

Runtimes compute what depends on constants alone when they load a model. Here the sizes of these
values are followed, not the values; small ones, from which sizes are made, are computed. What
depends on the clip is not followed: its size is the run's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.onnx_file import OnnxGraph, read_graph

MOST = 1 << 26  # numbers, 256 MiB of float32; eight times those that stand in the file come on top
SMALL = 4096  # elements of a value that is computed
DTYPES = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 9: "?", 11: "<f8"}
TYPED = {1: "float_data", 6: "int32_data", 7: "int64_data", 11: "double_data"}
SAME = (  # operators whose result has at most as many elements as their largest input
    "Identity Cast Transpose Reshape Squeeze Unsqueeze Flatten Slice Split Abs Neg Ceil Floor "
    "Round Sqrt Exp Log Reciprocal Sigmoid Relu Tanh Erf Sign Not Clip Softmax QuantizeLinear "
    "Dropout DequantizeLinear BatchNormalization CumSum TopK Shape Size ReduceSum "
    "ReduceMean ReduceMax ReduceMin ReduceProd ArgMax ArgMin Trilu GatherElements "
    "ScatterElements ScatterND IsNaN"
).split()
BROADCAST = (
    "Add Sub Mul Div Pow Mod Max Min Sum Mean And Or Xor Equal Greater Less GreaterOrEqual "
    "LessOrEqual Where PRelu BitShift"
).split()
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


@dataclass(frozen=True)
class Value:
    """What is known of a tensor.

    Attributes:
        constant: Whether it depends on nothing but the file.
        dims: Its shape, None where it is not known.
        data: Its elements, where they are few and known.
    """

    constant: bool
    dims: tuple[int, ...] | None = None
    data: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Elements; 1 where the shape is not known."""
        return product(self.dims) if self.dims is not None else 1


class TooLargeError(ValueError):
    """A graph unfolds to more than a runtime should be asked for."""


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


def product(numbers: Any) -> int:
    """Product of whole numbers, those below 0 as 0."""
    return math.prod(max(int(number), 0) for number in numbers)


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
        dims = _dims(node, slots, constant)
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


def _attribute(node: Any, name: str) -> Any:
    return next((each for each in node.attribute if each.name == name), None)


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
                found = np.concatenate(data, _attribute(node, "axis").i)
            elif node.op_type in COMPUTED and math.prod(each.size for each in data) <= SMALL**2:
                found = COMPUTED[node.op_type](*data)
            else:
                return None
    except (ValueError, TypeError, AttributeError):
        return None
    return found if found is not None and found.size <= SMALL else None


def _dims(node: Any, slots: list[Value | None], constant: bool) -> tuple[int, ...] | None:
    """Shape of a result, or one of at most as many elements; None where it cannot be told.

    Of values that depend on the clip only what constants make of their size is told.
    """
    known = [value for value in slots if value is not None]
    first = known[0] if known else Value(True, ())
    kind = node.op_type
    if kind in UNFOLDS:
        return UNFOLDS[kind](node, [*slots, *[None] * 4], first)
    if not constant:
        return None
    if any(value.dims is None for value in known):
        return None
    if kind in SAME:
        return (max((value.count for value in known), default=1),)
    if kind == "Concat":
        return (sum(value.count for value in known),)
    if kind in BROADCAST:
        return _broadcast([value.dims or () for value in known])
    if kind == "MatMul" and len(known) == 2:
        return (
            *(known[0].dims or ())[:-1],
            *(known[1].dims or ())[:-2],
            *(known[1].dims or ())[-1:],
        )
    if kind == "Gather" and len(known) == 2:
        return (known[0].count, known[1].count)
    return None


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    longest = max(map(len, shapes), default=0)
    padded = [(1,) * (longest - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(max(sizes) for sizes in zip(*padded, strict=True))


Slots = list["Value | None"]


def _numbers(value: Value | None) -> list[float] | None:
    """Elements of an operand that makes a size; None where it depends on the clip.

    Raises:
        TooLargeError: it is a constant that is not known.
    """
    if value is None or not value.constant:
        return None
    if value.data is None:
        raise TooLargeError("a constant that makes a size cannot be told beforehand")
    return [float(number) for number in value.data.reshape(-1)]


def _shape_of(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    numbers = _numbers(slots[0])
    return None if numbers is None else tuple(map(int, numbers))


def _tiled(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    numbers = _numbers(slots[1])
    return None if numbers is None else (*map(int, numbers), first.count)


def _expanded(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    numbers = _numbers(slots[1])
    if numbers is None:
        return None
    return _broadcast([first.dims or (), tuple(map(int, numbers))])


def _ranged(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    start, limit, delta = (_numbers(slot) for slot in slots[:3])
    if not (start and limit and delta):
        return None
    return (math.ceil((limit[0] - start[0]) / delta[0]) if delta[0] else 0,)


def _resized(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    if sizes := _numbers(slots[3]):
        return tuple(map(int, sizes))
    scales = _numbers(slots[2] if slots[2] is not None else slots[1])
    return (math.ceil(math.prod(scales) * first.count),) if scales else None


def _padded(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    listed = _attribute(node, "pads")
    pads = [float(pad) for pad in listed.ints] if listed is not None else _numbers(slots[1])
    if pads is None:
        return None
    half = len(pads) // 2
    dims = first.dims if first.dims is not None and len(first.dims) == half else (1,) * half
    both = zip(dims, pads[:half], pads[half:], strict=True)
    return tuple(int(size + before + after) for size, before, after in both)


def _one_hot(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    depth = _numbers(slots[1])
    return (int(depth[0]), first.count) if depth else None


def _random(node: Any, slots: Slots, first: Value) -> tuple[int, ...] | None:
    shape = _attribute(node, "shape")
    return tuple(shape.ints) if shape is not None else first.dims


UNFOLDS: dict[str, Callable[[Any, Slots, Value], tuple[int, ...] | None]] = {
    "ConstantOfShape": _shape_of,
    "Tile": _tiled,
    "Expand": _expanded,
    "Range": _ranged,
    "Resize": _resized,
    "Upsample": _resized,
    "Pad": _padded,
    "OneHot": _one_hot,
    "EyeLike": _random,
    "RandomNormal": _random,
    "RandomUniform": _random,
    "RandomNormalLike": _random,
    "RandomUniformLike": _random,
}
