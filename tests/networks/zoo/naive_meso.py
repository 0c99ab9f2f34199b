"""MesoNet's two networks in NumPy, and files of their weights as Keras 2.1 wrote them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from naive_convolutions import Array, batch_norm, convolve, max_pool, relu

Weights = dict[str, list[Array]]
INPUTS = {"meso4": (), "mesoinception4": ((3, (1, 4, 4, 2)), (11, (2, 4, 4, 2)))}


def _norm(name: str, channels: int) -> dict[str, list[tuple[int, ...]]]:
    return {name: [(channels,)] * 4}  # gamma, beta, moving mean, moving variance


def official_shapes(network: str) -> dict[str, list[tuple[int, ...]]]:
    """Names and shapes of the layers with weights, in the order in which Keras stored them.

    Names count in the order of creation; the file has the layers by their distance from the
    output, so the three 1×1 convolutions that lead a branch come before the rest of the block.
    """
    shapes: dict[str, list[tuple[int, ...]]] = {}
    if network == "meso4":
        convolutions = [(3, 3, 8), (5, 8, 8), (5, 8, 16), (5, 16, 16)]
        for number, (kernel, wide, out) in enumerate(convolutions, 1):
            shapes[f"conv2d_{number}"] = [(kernel, kernel, wide, out), (out,)]
            shapes |= _norm(f"batch_normalization_{number}", out)
    else:
        for block, (wide, (a, b, c, d)) in enumerate(INPUTS[network]):
            first = 7 * block + 1
            for number, out in ((first + 1, b), (first + 3, c), (first + 5, d), (first, a)):
                shapes[f"conv2d_{number}"] = [(1, 1, wide, out), (out,)]
            for number, out in ((first + 2, b), (first + 4, c), (first + 6, d)):
                shapes[f"conv2d_{number}"] = [(3, 3, out, out), (out,)]
            shapes |= _norm(f"batch_normalization_{block + 1}", a + b + c + d)
        for number, wide in ((15, 12), (16, 16)):
            shapes[f"conv2d_{number}"] = [(5, 5, wide, 16), (16,)]
            shapes |= _norm(f"batch_normalization_{number - 12}", 16)
    shapes["dense_1"] = [(1024, 16), (16,)]
    shapes["dense_2"] = [(16, 1), (1,)]
    return shapes


def draw_weights(network: str, seed: int = 0) -> Weights:
    """Weights at which no part is silent."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shapes in official_shapes(network).items():
        values = [
            rng.standard_normal(shape) / np.sqrt(np.prod(shape[:-1]) if len(shape) > 1 else 25)
            for shape in shapes
        ]
        if name.startswith("batch"):
            values[0], values[3] = 1 + values[0], 0.5 + np.abs(values[3])
        weights[name] = [value.astype(np.float32) for value in values]
    return weights


def real_margin(network: str, weights: Weights, image: Array) -> float:
    """What the original's sigmoid is given for one image of raw values."""
    x = image / 255
    for stage, pool in enumerate((2, 2, 2, 4)):
        if network == "meso4":
            x = _convolved(x, weights[f"conv2d_{stage + 1}"])
        elif stage < 2:
            numbers = range(7 * stage + 1, 7 * stage + 8)
            alone, *pairs = (weights[f"conv2d_{number}"] for number in numbers)
            parts = [_convolved(x, alone)]
            for dilation in (1, 2, 3):
                narrow, wide = pairs[2 * dilation - 2 : 2 * dilation]
                parts.append(_convolved(_convolved(x, narrow), wide, dilation))
            x = np.concatenate(parts, -1)
        else:
            x = _convolved(x, weights[f"conv2d_{stage + 13}"])
        x = max_pool(batch_norm(x, *weights[f"batch_normalization_{stage + 1}"]), pool)
    kernel, bias = weights["dense_1"]
    x = x.ravel() @ kernel + bias
    kernel, bias = weights["dense_2"]
    return float((np.where(x > 0, x, 0.1 * x) @ kernel + bias)[0])


def _convolved(x: Array, weights: list[Array], dilation: int = 1) -> Array:
    return relu(convolve(x, *weights, dilation=dilation))


def write_official(path: Path, weights: Weights, group: str = "") -> Path:
    """Write them as `Model.save_weights` of Keras 2.1 did, with layers that hold nothing too."""
    parts = {"conv2d": ["kernel", "bias"], "dense": ["kernel", "bias"]}
    norm = ["gamma", "beta", "moving_mean", "moving_variance"]
    with h5py.File(path, "w") as file:
        root = file.require_group(group) if group else file
        names = ["input_1", *weights, "flatten_1"]
        root.attrs["layer_names"] = [name.encode() for name in names]
        root.attrs["backend"], root.attrs["keras_version"] = b"tensorflow", b"2.1.5"
        for name in names:
            layer = root.create_group(name)
            kind = name.rpartition("_")[0]
            labels = (
                [f"{name}/{part}:0" for part in parts.get(kind, norm)] if name in weights else []
            )
            layer.attrs["weight_names"] = [label.encode() for label in labels]
            for label, value in zip(labels, weights.get(name, ()), strict=True):
                layer[label] = value
    return path
