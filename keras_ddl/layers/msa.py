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
FOLD_CHANNELS = 64


class MSA(keras.layers.Layer):
    """Weighs the input by what its neighbourhood in time says at three time scales.

    Per direction d and scale s (T, T/2 and T/4 frames, average pooled over time)::

        z^d_s = BN(pointwise C→C/4 (depthwise 3 taps along time))      zero padded at both ends
        D^d   = BN(1×1 C/4→C (mean of the z^d_s, nearest-upsampled to T frames))
        y     = x + γ · x · (½(σ(D^V) − ½) + ½(σ(D^H) − ½))             γ starts at 0

    The paper draws the two directions on height-time and time-width slices, yet both kernels slide
    over time only, so no slice is ever cut: in the layout ``(batch, frames, positions,
    channels)``, which is the input seen through a reshape, every step is an ordinary convolution
    or pooling.

    Args:
        frames: Frames per clip T, a multiple of 4; consecutive in the batch axis.
        reduction: The branches have ``channels // reduction`` channels.
        data_format: ``channels_last`` or ``channels_first`` (the layout that exported graphs run
            in).

    Input shape: ``(batch·frames, height, width, channels)``, floating point, any range.
    Output shape: the same.

    Raises:
        ValueError: frames not a positive multiple of 4, rank ≠ 4, channels below reduction, batch
            not a multiple of frames.

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
        self.branches = {
            d: {s: self._branch(d, s, channels, narrow) for s in SCALES} for d in DIRECTIONS
        }
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
        conv, depthwise = keras.layers.Conv2D, TimeTaps
        return [
            self._sublayer(
                depthwise, f"{name}_taps", channels, kernel_size=(3, 1), padding="same", **layout
            ),
            self._sublayer(QuantPoint, f"{name}_quant"),
            self._sublayer(
                conv, f"{name}_pointwise", channels, filters=narrow, kernel_size=1, **layout
            ),
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
        check_input("MSA", inputs.shape, self.frames, self.reduction, self.data_format)
        x = fold_clips(self.input_quant(inputs), self.frames, self.data_format)  # (B, T, P, C)
        first = self.data_format == "channels_first"
        aggregates = self._time_major(x) if first else self._separate(x, training)
        gates = []
        for direction, z in zip(DIRECTIONS, aggregates, strict=True):
            z = self._as_frames(z, inputs)  # (B·T, H, W, C/reduction)
            gates.append(tf.sigmoid(_chain(self.merges[direction], z, training)))
        # x + γ·x·(½(σ(D^V) − ½) + ½(σ(D^H) − ½)) with the constants gathered.
        half = tf.cast(self.gamma, inputs.dtype) / 2
        if first:
            return inputs * ((gates[0] + gates[1]) * half + (1 - half))
        # One pass more, for training: above, the gradient of γ is a difference of two large sums.
        return inputs * ((gates[0] + gates[1] - 1) * half + 1)

    def _separate(self, x: Any, training: bool | None) -> list[Any]:
        """Mean of the three scales per direction, each convolution on its own."""
        pooled = {scale: _pool_time(x, by, self.data_format) for scale, by in SCALES.items()}
        return [
            _sum_scales(
                [_chain(self.branches[d][s], pooled[s], training) for s in SCALES], self.data_format
            )
            / len(SCALES)
            for d in DIRECTIONS
        ]

    def _time_major(self, x: Any) -> list[Any]:
        """The same for an exported graph: time becomes a spatial axis of NCHW."""
        x = tf.transpose(x, (0, 2, 1, 3))  # (B, C, T, P)
        if x.shape[1] <= FOLD_CHANNELS:
            pooled = [_pool_time(x, by, self.data_format) for by in SCALES.values()]
            stacked = [self._folded(z, scale) for z, scale in zip(pooled, SCALES, strict=True)]
            sums = tf.split(_sum_scales(stacked, self.data_format), len(DIRECTIONS), axis=1)
        else:
            sums = self._separate(x, training=False)
        return [tf.transpose(z, (0, 2, 1, 3)) for z in sums]  # (B, T, C/r, P)

    def _folded(self, x: Any, scale: str) -> Any:
        """A third of both directions' branches, in one convolution: ``(B, 2·C/r, T, P)``.

        More arithmetic and less traffic than the separate steps; pays where there are few channels
        and many positions. Inference only.
        """
        kernels, biases = [], []
        for direction in DIRECTIONS:
            taps, _, pointwise, norm = self.branches[direction][scale]
            factor = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
            kernel = taps.depthwise_kernel * pointwise.kernel * factor  # (3, 1, C, C/r)
            kernels.append(kernel / len(SCALES))
            biases.append((norm.beta - norm.moving_mean * factor) / len(SCALES))
        kernel = tf.cast(tf.concat(kernels, -1), x.dtype)
        padding = [[0, 0], [0, 0], [1, 1], [0, 0]]  # one frame before, one after
        z = tf.nn.conv2d(x, kernel, 1, padding, data_format="NCHW")
        return z + tf.cast(tf.concat(biases, 0), x.dtype)[:, None, None]

    def _as_frames(self, z: Any, like: Any) -> Any:
        """``(B, T, P, c)`` → ``(B·T, H, W, c)``, or the same with c first."""
        height, width = extent(like, self.data_format)
        if self.data_format == "channels_first":
            return tf.reshape(z, (-1, z.shape[2], height, width))
        return tf.reshape(z, (-1, height, width, z.shape[3]))

    def get_config(self) -> dict[str, Any]:
        config = {
            "frames": self.frames,
            "reduction": self.reduction,
            "data_format": self.data_format,
        }
        return {**super().get_config(), **config}


class TimeTaps(keras.layers.DepthwiseConv2D):
    """A depthwise convolution that is traced channels-first as it stands.

    Keras takes a detour through channels-last wherever it runs without a GPU, and leaves two
    transposes in the exported graph.
    """

    def call(self, inputs: Any) -> Any:
        if self.data_format == "channels_last":
            return super().call(inputs)
        padding = [[0, 0], [0, 0], [1, 1], [0, 0]]  # one frame before, one after
        kernel = tf.cast(self.depthwise_kernel, inputs.dtype)
        return tf.nn.depthwise_conv2d(inputs, kernel, [1] * 4, padding, data_format="NCHW")


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


def _sum_scales(scales: list[Any], data_format: str) -> Any:
    """Full + nearest-upsampled half + quarter, from coarse to fine; the three lie as `SCALES`."""
    total = scales[-1]
    for finer in reversed(scales[:-1]):
        total = tf.repeat(total, 2, axis=2 if data_format == "channels_first" else 1) + finer
    return total
