"""InconsistencyMap: where in the face the network looked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_ddl.framework import keras, tf

WEIGHT_EPSILON = 1e-12


class InconsistencyMap(keras.layers.Layer):
    """The positions that a network's DFDC layers kept, on one grid.

    Every stage's M̂ (zero where suppressed) is averaged over the cells of a ``grid × grid``
    raster, the stages are added with the weight |γ| that the network gives them, and each clip is
    scaled so that its largest value is 1. It says where the network looked, not where a forgery is.

    Args:
        stages: The DFDC layers, in order; shared with the network, not copied.
        grid: Height and width of the map.

    Call arguments:
        inputs: The inputs of those DFDC layers, in the same order.

    Output shape: ``(batch, frames, grid, grid)``, float32 in [0, 1]; all zero while every γ is 0.
    """

    def __init__(self, stages: Sequence[Any], grid: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.stages, self.grid = list(stages), grid
        self._autocast = False

    def call(self, inputs: Any) -> Any:
        total = 0.0
        for stage, x in zip(self.stages, inputs, strict=True):
            scores = stage.inconsistency(x)  # (B, T, H, W)
            rows, columns = (_area_matrix(int(size), self.grid) for size in scores.shape[2:])
            raster = tf.matmul(tf.matmul(rows, scores), columns, transpose_b=True)
            total = total + tf.abs(tf.cast(stage.gamma, tf.float32)) * raster
        highest = tf.reduce_max(total, axis=(1, 2, 3), keepdims=True)
        return total / (highest + WEIGHT_EPSILON)


def _area_matrix(size: int, grid: int) -> np.ndarray:
    """Matrix ``(grid, size)`` that takes the mean over each cell's share of `size` samples."""
    edges = np.linspace(0, size, grid + 1)
    samples = np.arange(size)
    overlap = np.minimum(edges[1:, None], samples + 1) - np.maximum(edges[:-1, None], samples)
    overlap = np.maximum(overlap, 0)
    return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)
