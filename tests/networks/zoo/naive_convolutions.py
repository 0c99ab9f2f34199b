"""Layers of small CNNs written out in NumPy, float64: images ``(H, W, C)``, kernels as Keras'."""

from __future__ import annotations

import numpy as np

BN_EPSILON = 1e-3

Array = np.ndarray


def convolve(
    x: Array, kernel: Array, bias: Array | float = 0.0, same: bool = True, dilation: int = 1
) -> Array:
    """Stride 1; `same` puts zeros around, as many on each side."""
    high, wide, _, out = kernel.shape
    x = np.asarray(x, float)
    if same:
        x = np.pad(x, [(dilation * (side // 2),) * 2 for side in (high, wide)] + [(0, 0)])
    rows = x.shape[0] - dilation * (high - 1)
    columns = x.shape[1] - dilation * (wide - 1)
    total = np.zeros((rows, columns, out)) + bias
    for i in range(high):
        for j in range(wide):
            top, left = dilation * i, dilation * j
            total += x[top : top + rows, left : left + columns] @ kernel[i, j]
    return total


def batch_norm(x: Array, gamma: Array, beta: Array, mean: Array, variance: Array) -> Array:
    """At rest, with the stored statistics."""
    return (x - mean) / np.sqrt(variance + BN_EPSILON) * gamma + beta


def max_pool(x: Array, side: int) -> Array:
    """The maximum of squares; what does not fill one is dropped."""
    rows, columns, channels = x.shape[0] // side, x.shape[1] // side, x.shape[2]
    x = x[: rows * side, : columns * side]
    return x.reshape(rows, side, columns, side, channels).max((1, 3))


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def softmax(x: Array) -> Array:
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)
