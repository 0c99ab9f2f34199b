"""batch_norm: batch normalisation with PyTorch's constants, as the authors' networks have it."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras


def batch_norm(epsilon: float = 1e-5, **arguments: Any) -> Any:
    """A `BatchNormalization` layer; its statistics move by a tenth per step."""
    return keras.layers.BatchNormalization(epsilon=epsilon, momentum=0.9, **arguments)
