"""MSA: multi-scale spatio-temporal aggregation."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers.checks import check_data_format, check_frames, check_input
from keras_ddl.layers.fold import extent, fold_clips
from keras_ddl.layers.quant_point import QuantPoint

DIRECTIONS = ("vertical", "horizontal")
SCALES = {"full": 1, "half": 2, "quarter": 4}
BN_EPSILON = 1e-5
BN_MOMENTUM = 0.9


class MSA(keras.layers.Layer):
    """Weighs the input by what its neighbourhood in time says at three time scales.

    Per direction d and scale s (T, T/2 and T/4 frames, average pooled over time)::

        z^d_s = BN(pointwise C→C/4 (depthwise 3 taps along time))      zero padded at the clip's ends
        D^d   = BN(1×1 C/4→C (mean of the z^d_s, nearest-upsampled to T frames))
        y     = x + γ · x · (½(σ(D^V) − ½) + ½(σ(D^H) − ½))             γ starts at 0

    The paper draws the two directions on height-time and time-width slices, yet both kernels slide over
    time only, so no slice is ever cut: in the layout ``(batch, frames, positions, channels)``, which is
    the input seen through a reshape, every step is an ordinary convolution or pooling.

    Args:
        frames: Frames per clip T, a multiple of 4; consecutive in the batch axis.
        reduction: The branches have ``channels // reduction`` channels.
        data_format: ``channels_last`` or ``channels_first`` (the layout that exported graphs run in).

    Input shape: ``(batch·frames, height, width, channels)``, floating point, any range.
    Output shape: the same.

    Raises:
        ValueError: frames not a positive multiple of 4, rank ≠ 4, channels below reduction, batch not a
            multiple of frames.

    Reference: DDL (IEEE TIFS 2023), section "multi-scale spatio-temporal aggregation".
    """

    def __init__(
        self, frames: int = 8, reduction: int = 4, data_format: str = "channels_last", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_frames("MSA", frames)
        check_data_format("MSA", data_format)
        if reduction < 1:
            raise ValueError(f"MSA: reduction must be at least 1; got {reduction}")
        self.frames, self.reduction, self.data_format = frames, reduction, data_format

    def build(self, input_shape: Any) -> None:
        channels = check_input("MSA", input_shape, self.frames, self.reduction, self.data_format)
        narrow = channels // self.reduction
        self.input_quant = self._sublayer(QuantPoint, "input_quant")
        self.branches = {d: {s: self._branch(d, s, channels, narrow) for s in SCALES} for d in DIRECTIONS}
        self.merges = {d: self._merge(d, channels, narrow) for d in DIRECTIONS}
        self.gamma = self.add_weight(name="gamma", shape=(1,), initializer="zeros")
        super().build(input_shape)

    def _sublayer(self, kind: Any, name: str, channels: int | None = None, **config: Any) -> Any:
        """A layer with a structural name that can be found as an attribute of the same name."""
        layer = kind(name=name, dtype=self.dtype_policy, **config)
        if channels is not None:
            first = self.data_format == "channels_first"
            with tf.name_scope(name):
                layer.build((None, channels, None, None) if first else (None, None, None, channels))
        setattr(self, name, layer)
        return layer

    def _branch(self, direction: str, scale: str, channels: int, narrow: int) -> list[Any]:
        name, layout = f"{direction}_{scale}", {"data_format": self.data_format, "use_bias": False}
        conv, depthwise = keras.layers.Conv2D, keras.layers.DepthwiseConv2D
        return [
            self._sublayer(depthwise, f"{name}_taps", channels, kernel_size=(3, 1), padding="same", **layout),
            self._sublayer(QuantPoint, f"{name}_quant"),
            self._sublayer(conv, f"{name}_pointwise", channels, filters=narrow, kernel_size=1, **layout),
            self._norm(f"{name}_bn", narrow),
        ]

    def _merge(self, direction: str, channels: int, narrow: int) -> list[Any]:
        config = {"filters": channels, "kernel_size": 1, "data_format": self.data_format}
        return [
            self._sublayer(QuantPoint, f"{direction}_merge_quant"),
            self._sublayer(keras.layers.Conv2D, f"{direction}_merge", narrow, **config),
            self._norm(f"{direction}_merge_bn", channels),
        ]

    def _norm(self, name: str, channels: int) -> Any:
        axis = 1 if self.data_format == "channels_first" else -1
        return self._sublayer(
            keras.layers.BatchNormalization,
            name,
            channels,
            axis=axis,
            epsilon=BN_EPSILON,
            momentum=BN_MOMENTUM,
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = fold_clips(self.input_quant(inputs), self.frames, self.data_format)  # (B, T, P, C)
        if self.data_format == "channels_first":
            x = tf.transpose(x, (0, 2, 1, 3))  # (B, C, T, P): time is a spatial axis
        pooled = {scale: _pool_time(x, by, self.data_format) for scale, by in SCALES.items()}
        attention = 0.0
        for direction in DIRECTIONS:
            aggregate = self._aggregate(direction, pooled, inputs, training)
            logits = _chain(self.merges[direction], aggregate, training)
            attention = attention + 0.5 * (tf.sigmoid(logits) - 0.5)
        return inputs + tf.cast(self.gamma, inputs.dtype) * inputs * attention

    def _aggregate(self, direction: str, pooled: dict[str, Any], like: Any, training: Any) -> Any:
        """Mean of the three scales at full length, as frames ``(B·T, H, W, C/reduction)``."""
        first = self.data_format == "channels_first"
        total = None
        for scale in reversed(SCALES):  # from coarse to fine: each sum is upsampled by 2
            z = _chain(self.branches[direction][scale], pooled[scale], training)
            total = z if total is None else _upsample_time(total, self.data_format) + z
        total = total / len(SCALES)
        if first:
            total = tf.transpose(total, (0, 2, 1, 3))  # (B, T, C/r, P)
        height, width = extent(like, self.data_format)
        narrow = total.shape[2] if first else total.shape[3]
        return tf.reshape(total, (-1, narrow, height, width) if first else (-1, height, width, narrow))

    def get_config(self) -> dict[str, Any]:
        config = {
            "frames": self.frames,
            "reduction": self.reduction,
            "data_format": self.data_format,
        }
        return {**super().get_config(), **config}


def _chain(layers: list[Any], x: Any, training: Any) -> Any:
    for layer in layers:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        x = layer(x, training=training) if is_norm else layer(x)
    return x


def _pool_time(x: Any, by: int, data_format: str) -> Any:
    """Mean of `by` consecutive frames; ``(B, T, P, C)`` or ``(B, C, T, P)``."""
    if by == 1:
        return x
    if data_format == "channels_first":
        return tf.nn.avg_pool2d(x, (by, 1), (by, 1), "VALID", data_format="NCHW")
    return tf.nn.avg_pool2d(x, (by, 1), (by, 1), "VALID")


def _upsample_time(x: Any, data_format: str) -> Any:
    """Every frame twice; ``(B, T, P, C)`` or ``(B, C, T, P)``."""
    axis = 2 if data_format == "channels_first" else 1
    return tf.repeat(x, 2, axis=axis)
