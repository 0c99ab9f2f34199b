"""Dimensions of what ONNX operators make of constants, told without computing it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

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


def product(numbers: Any) -> int:
    """Product of whole numbers, those below 0 as 0."""
    return math.prod(max(int(number), 0) for number in numbers)


def attribute_of(node: Any, name: str) -> Any:
    """An attribute of a node by name; None where it has none."""
    return next((each for each in node.attribute if each.name == name), None)


def result_dims(node: Any, slots: list[Value | None], constant: bool) -> tuple[int, ...] | None:
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
    listed = attribute_of(node, "pads")
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
    shape = attribute_of(node, "shape")
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
