"""PaddedMaxPool2D: PyTorch's 3×3, stride 2, padding 1 max pooling."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers.checks import check_data_format


class PaddedMaxPool2D(keras.layers.Layer):
    """Max pooling with the same padding on every side, padded with minus infinity.

    TensorFlow's ``same`` pads an even-sized input on the far side only, so its windows sit one
    pixel away from PyTorch's.

    Args:
        pool_size, strides, padding: One integer each, for both directions.
        data_format: Layout of input and output.

    Input shape: ``(batch, height, width, channels)``.
    Output shape: height and width become ``(size + 2·padding − pool_size) // strides + 1``.
    """

    def __init__(
        self,
        pool_size: int = 3,
        strides: int = 2,
        padding: int = 1,
        data_format: str = "channels_last",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_data_format("PaddedMaxPool2D", data_format)
        self.pool_size, self.strides, self.padding = pool_size, strides, padding
        self.data_format = data_format

    def call(self, inputs: Any) -> Any:
        spatial, unit = [[self.padding, self.padding]] * 2, [[0, 0]]
        if self.data_format == "channels_first":
            padding = unit + unit + spatial
            return tf.nn.max_pool2d(
                inputs, self.pool_size, self.strides, padding, data_format="NCHW"
            )
        # Padded by hand: XLA has no pooling with explicit padding.
        lowest = inputs.dtype.min if hasattr(inputs.dtype, "min") else float("-inf")
        padded = tf.pad(inputs, unit + spatial + unit, constant_values=lowest)
        return tf.nn.max_pool2d(padded, self.pool_size, self.strides, "VALID")

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        def pooled(size: int | None) -> int | None:
            return (
                None
                if size is None
                else (size + 2 * self.padding - self.pool_size) // self.strides + 1
            )

        batch, *rest = input_shape
        if self.data_format == "channels_first":
            return (batch, rest[0], pooled(rest[1]), pooled(rest[2]))
        return (batch, pooled(rest[0]), pooled(rest[1]), rest[2])

    def get_config(self) -> dict[str, Any]:
        config = {"pool_size": self.pool_size, "strides": self.strides, "padding": self.padding}
        return {**super().get_config(), **config, "data_format": self.data_format}
