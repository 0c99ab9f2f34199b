"""Layers of GFF: residuals of noise, spatial attention, and logits that are cosines."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from keras_ddl.framework import keras, tf

LIMIT = 3.0


def srm_kernels() -> np.ndarray:
    """Three high-pass filters of steganalysis' rich models, ``(5, 5, 3)``.

    Second differences of a row (÷ 2); of rows and columns, 3×3 (÷ 4); and the 5×5 one (÷ 12). Each
    predicts a pixel from its neighbours and leaves what was not predicted.
    """
    second = np.array([0, 1, -2, 1, 0], float)
    row = np.zeros((5, 5))
    row[2] = second / 2
    square = -np.outer(second, second) / 4
    large = np.array(
        [
            [-1, 2, -2, 2, -1],
            [2, -6, 8, -6, 2],
            [-2, 8, -12, 8, -2],
            [2, -6, 8, -6, 2],
            [-1, 2, -2, 2, -1],
        ]
    )
    return np.stack([square, large / 12, row], -1)


@keras.utils.register_keras_serializable("keras_ddl")
class SRMResiduals(keras.layers.Layer):
    """What three fixed high-pass filters leave of an image, cut at ±3.

    Args:
        separate: Filter each channel by itself; otherwise the channels' sum.

    Input shape: ``(batch, height, width, C)``. Output shape: ``(batch, height, width, 3)``, or
        ``(batch, height, width, 3·C)`` where separate, the three of a channel side by side; within
        [−3, 3]. Around the image are zeros.

    Reference: Fridrich & Kodovský, "Rich Models for Steganalysis of Digital Images", TIFS 2012, as
        used by Luo et al., CVPR 2021.
    """

    def __init__(self, separate: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.separate = separate

    def build(self, input_shape: Any) -> None:
        self._shape = tuple(input_shape)
        kernels = srm_kernels()[:, :, None, :]  # (5, 5, 1, 3)
        self._kernel = np.repeat(kernels, input_shape[-1], 2).astype(np.float32)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        kernel = tf.constant(self._kernel, inputs.dtype)
        if self.separate:
            found = tf.nn.depthwise_conv2d(inputs, kernel, (1, 1, 1, 1), "SAME")
        else:
            found = tf.nn.conv2d(inputs, kernel, 1, "SAME")
        return tf.clip_by_value(found, -LIMIT, LIMIT)

    def macs(self) -> int:
        """Three filters over every channel."""
        return prod(self._shape[1:3]) * self._kernel.size

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "separate": self.separate}


@keras.utils.register_keras_serializable("keras_ddl")
class SpatialAttention(keras.layers.Layer):
    """Where to look: the sigmoid of a 7×7 convolution of the channels' mean and maximum.

    Input shape: ``(batch, height, width, C)``. Output shape: ``(batch, height, width, 1)``, in
        (0, 1).

    Reference: Woo et al., "CBAM: Convolutional Block Attention Module", ECCV 2018.
    """

    KERNEL = 7

    def build(self, input_shape: Any) -> None:
        self._positions = prod(side or 0 for side in input_shape[1:3])
        shape = (self.KERNEL, self.KERNEL, 2, 1)
        self.kernel = self.add_weight("kernel", shape, initializer="glorot_uniform")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        mean = tf.reduce_mean(inputs, -1, keepdims=True)
        peak = tf.reduce_max(inputs, -1, keepdims=True)
        return tf.sigmoid(tf.nn.conv2d(tf.concat([mean, peak], -1), self.kernel, 1, "SAME"))

    def macs(self) -> int:
        """The convolution."""
        return self._positions * 2 * self.KERNEL**2


@keras.utils.register_keras_serializable("keras_ddl")
class CosineLogits(keras.layers.Layer):
    """Logits that are cosines between features and one vector per class, times a scale.

    Args:
        classes: How many.
        scale: Of the logits; their range is [−scale, scale].

    Input shape: ``(batch, C)``. Output shape: ``(batch, classes)``.

    Reference: Wang et al., "Additive Margin Softmax for Face Verification", 2018. Its margin is
        left out: it needs labels inside the network.
    """

    def __init__(self, classes: int = 2, scale: float = 30.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.classes, self.scale = classes, scale

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[-1], self.classes)
        self.kernel = self.add_weight("kernel", shape, initializer="glorot_uniform")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        features = tf.math.l2_normalize(inputs, -1)
        return self.scale * tf.matmul(features, tf.math.l2_normalize(self.kernel, 0))

    def macs(self) -> int:
        """One product for each class."""
        return prod(self.kernel.shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "scale": self.scale}
