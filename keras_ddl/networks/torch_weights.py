"""PyTorch's tensors in Keras layers: which belongs where, and how its axes turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]


class Slot(NamedTuple):
    """One PyTorch tensor: its name, the Keras variable, and torch array → Keras array."""

    name: str
    variable: Any
    transform: Transform


def _as_is(array: np.ndarray) -> np.ndarray:
    return array


def _conv(array: np.ndarray) -> np.ndarray:  # (out, in, h, w) → (h, w, in, out)
    return array.transpose(2, 3, 1, 0)


def _depthwise(array: np.ndarray) -> np.ndarray:  # (C, 1, h, w) → (h, w, C, 1)
    return array.transpose(2, 3, 0, 1)


def _time_taps(array: np.ndarray) -> np.ndarray:  # (C, 1, 1, 3) or (C, 1, 3, 1) → (3, 1, C, 1)
    return array.reshape(array.shape[0], 1, 3, 1).transpose(2, 3, 0, 1)


def _dense(array: np.ndarray) -> np.ndarray:
    return array.T


SCALE_SUFFIXES = {"full": "", "half": "_down", "quarter": "_down2"}


def fill(
    slots: Sequence[Slot], arrays: Mapping[str, np.ndarray], target: str, prefix: str = ""
) -> None:
    """Give variables the values of PyTorch's tensors.

    Args:
        slots: What is to be filled.
        arrays: Tensor names → arrays in PyTorch's layout.
        target: What messages call it.
        prefix: Put before every name; names that do not start with it are ignored.

    Raises:
        ValueError: names missing, surplus or of another shape, all listed; nothing is changed then.
            ``num_batches_tracked`` counters are no weights and are ignored.
    """
    given = {
        name.removeprefix(prefix): np.asarray(array)
        for name, array in arrays.items()
        if name.startswith(prefix) and not name.endswith("num_batches_tracked")
    }
    problems = [f"missing {prefix}{slot.name}" for slot in slots if slot.name not in given]
    problems += [
        f"surplus {prefix}{name}" for name in sorted(given.keys() - {s.name for s in slots})
    ]
    values: list[np.ndarray] = []
    for slot in slots:
        if slot.name in given:
            value, expected = _fitted(given[slot.name], slot), tuple(slot.variable.shape)
            if value is None:
                received = given[slot.name].shape
                problems.append(
                    f"misshapen {prefix}{slot.name}: {received} does not give {expected}"
                )
            else:
                values.append(value)
    if problems:
        raise ValueError(
            f"{len(problems)} of the tensors do not fit {target}: " + "; ".join(problems)
        )
    for slot, value in zip(slots, values, strict=True):
        slot.variable.assign(value)


def _fitted(array: np.ndarray, slot: Slot) -> np.ndarray | None:
    try:
        value = slot.transform(array)
    except ValueError:
        return None
    return value if value.shape == tuple(slot.variable.shape) else None


def layer_slots(layer: Any, prefix: str) -> Iterator[Slot]:
    """The variables of a layer and the tensors that fill them, named with this prefix."""
    from keras_ddl.framework import keras
    from keras_ddl.layers import DFDC, MSA

    layers = keras.layers
    if isinstance(layer, DFDC):
        yield Slot(f"{prefix}gamma", layer.gamma, _as_is)
        for name, conv in (("q_conv", layer.query), ("k_conv", layer.key), ("v_conv", layer.value)):
            yield Slot(f"{prefix}{name}.weight", conv.kernel, _conv)
    elif isinstance(layer, MSA):
        yield from _msa_slots(layer, prefix)
    elif isinstance(layer, layers.BatchNormalization):
        yield Slot(f"{prefix}weight", layer.gamma, _as_is)
        yield Slot(f"{prefix}bias", layer.beta, _as_is)
        yield Slot(f"{prefix}running_mean", layer.moving_mean, _as_is)
        yield Slot(f"{prefix}running_var", layer.moving_variance, _as_is)
    elif isinstance(layer, layers.DepthwiseConv2D):
        yield Slot(f"{prefix}weight", layer.weights[0], _depthwise)
    else:
        dense = isinstance(layer, layers.Dense)
        yield Slot(f"{prefix}weight", layer.kernel, _dense if dense else _conv)
        if layer.use_bias:
            yield Slot(f"{prefix}bias", layer.bias, _as_is)


def _msa_slots(layer: Any, prefix: str) -> Iterator[Slot]:
    from keras_ddl.layers.msa import DIRECTIONS

    yield Slot(f"{prefix}gamma", layer.gamma, _as_is)
    for direction in DIRECTIONS:
        for scale, suffix in SCALE_SUFFIXES.items():
            taps, _, pointwise, norm = layer.branch(direction, scale)
            name = f"{prefix}{direction}_conv{suffix}"
            # weights[0]: the two Kerases call a depthwise kernel differently
            yield Slot(f"{name}.0.conv1.weight", taps.weights[0], _time_taps)
            yield from layer_slots(pointwise, f"{name}.0.pointwise.")
            yield from layer_slots(norm, f"{name}.1.")
        _, merge, norm = layer.merge(direction)
        yield from layer_slots(merge, f"{prefix}{direction}_conv_merge.0.")
        yield from layer_slots(norm, f"{prefix}{direction}_conv_merge.1.")
