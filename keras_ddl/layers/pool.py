"""PaddedMaxPool2D: PyTorch's 3×3, stride 2, padding 1 max pooling."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf


class PaddedMaxPool2D(keras.layers.Layer):
    """Max pooling with the same padding on every side, padded with minus infinity.

    TensorFlow's ``same`` pads an even-sized input on the far side only, so its windows sit one
    pixel away from PyTorch's.

    Args:
        pool_size, strides, padding: One integer each, for both directions.

    Input shape: ``(batch, height, width, channels)``.
    Output shape: height and width become ``(size + 2·padding − pool_size) // strides + 1``.
    """

    def __init__(
        self, pool_size: int = 3, strides: int = 2, padding: int = 1, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.strides, self.padding = pool_size, strides, padding

    def call(self, inputs: Any) -> Any:
        # Padded by hand: XLA has no pooling with explicit padding.
        padding = [[0, 0], *[[self.padding, self.padding]] * 2, [0, 0]]
        lowest = inputs.dtype.min if hasattr(inputs.dtype, "min") else float("-inf")
        padded = tf.pad(inputs, padding, constant_values=lowest)
        return tf.nn.max_pool2d(padded, self.pool_size, self.strides, "VALID")

    def get_config(self) -> dict[str, Any]:
        config = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **config}
