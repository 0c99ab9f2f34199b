"""Convolutions with int8 kernels, and the bias that folded batch norm leaves."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf


class _RoundedKernel:
    """Rounds a kernel symmetrically with a step per output channel; its largest entry stays.

    The quantiser is tensorflow-model-optimization's. A channels-first layer, which is for tracing
    an export, starts inactive: ONNX's own operators round its kernel.

    Args:
        layer: Whose kernel is rounded; it holds the range.
        channels: Output channels.
        depthwise: Of a kernel ``(h, w, C, 1)``: the channels are the last axis but one.

    Attributes:
        active: False rounds nothing for now; seen when a call is traced.
    """

    def __init__(self, layer: Any, channels: int, depthwise: bool = False) -> None:
        from tensorflow_model_optimization.python.core.quantization.keras import quantizers

        self._quantiser = quantizers.LastValueQuantizer(
            8, per_axis=True, symmetric=True, narrow_range=True
        )
        self._depthwise = depthwise
        self.active = layer.data_format == "channels_last"
        self._range = {
            end: layer.add_weight(f"kernel_{end}", (channels,), initializer=start, trainable=False)
            for end, start in (("min_var", "zeros"), ("max_var", "ones"))
        }

    def __call__(self, kernel: Any) -> Any:
        if not self.active:
            return kernel
        if not self._depthwise:
            return self._quantiser(kernel, True, self._range)
        by_channel = tf.transpose(kernel, (0, 1, 3, 2))
        return tf.transpose(self._quantiser(by_channel, True, self._range), (0, 1, 3, 2))


class QuantConv2D(keras.layers.Conv2D):
    """`Conv2D` with a rounded kernel."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.rounded = _RoundedKernel(self, self.filters)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return super().convolution_op(inputs, self.rounded(kernel))


class QuantDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`DepthwiseConv2D`, multiplier 1, no bias, with a rounded kernel."""

    def build(self, input_shape: Any) -> None:
        super().build(input_shape)
        self.rounded = _RoundedKernel(self, self.depthwise_kernel.shape[2], depthwise=True)

    def call(self, inputs: Any) -> Any:
        kernel = self.rounded(self.depthwise_kernel)
        return keras.backend.depthwise_conv2d(
            inputs, kernel, self.strides, self.padding, self.data_format, self.dilation_rate
        )


class ChannelBias(keras.layers.Layer):
    """Adds a number per channel: what is left of a batch norm whose factor went into a kernel.

    Args:
        data_format: ``channels_last`` or ``channels_first``.

    Input shape: ``(batch, height, width, channels)``. Output shape: the same.
    """

    def __init__(self, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = data_format

    def build(self, input_shape: Any) -> None:
        axis = 1 if self.data_format == "channels_first" else -1
        self.bias = self.add_weight(name="bias", shape=(input_shape[axis],), initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        layout = "NCHW" if self.data_format == "channels_first" else "NHWC"
        return tf.nn.bias_add(inputs, tf.cast(self.bias, inputs.dtype), data_format=layout)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "data_format": self.data_format}
