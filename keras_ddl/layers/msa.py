"""MSA: multi-scale spatio-temporal aggregation."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers.batch_norm import batch_norm
from keras_ddl.layers.checks import check_frames, check_input
from keras_ddl.layers.fold import any_images, extent, fold_clips
from keras_ddl.layers.quant_conv import ChannelBias, QuantConv2D, QuantDepthwiseConv2D
from keras_ddl.layers.quant_point import QuantPoint

DIRECTIONS = ("vertical", "horizontal")
SCALES = {"full": 1, "half": 2, "quarter": 4}
POOLED = tuple(SCALES)[1:]


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
        quantized: Round the convolutions and what goes into them to int8. Batch norm is folded
            then: the kernels carry its factor (and the third of each scale), a bias the rest.

    Input shape: ``(batch·frames, height, width, channels)``, floating point, any range.
    Output shape: the same.

    Raises:
        ValueError: frames not a positive multiple of 4, rank ≠ 4, channels below reduction, batch
            not a multiple of frames.

    Reference: DDL (IEEE TIFS 2023), section "multi-scale spatio-temporal aggregation".
    """

    data_format = "channels_last"
    _layout = "NHWC"
    _point_kind: type[QuantPoint] = QuantPoint
    _taps_kinds: tuple[Any, Any] = (keras.layers.DepthwiseConv2D, QuantDepthwiseConv2D)

    def __init__(
        self,
        frames: int = 8,
        reduction: int = 4,
        quantized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_frames("MSA", frames)
        if reduction < 1:
            raise ValueError(f"MSA: reduction must be at least 1; got {reduction}")
        self.frames, self.reduction, self.quantized = frames, reduction, quantized

    def build(self, input_shape: Any) -> None:
        channels = check_input("MSA", input_shape, self.frames, self.reduction, self.data_format)
        narrow = channels // self.reduction
        self.input_quant = self._quant_point("input_quant")
        for scale in POOLED:
            self._quant_point(f"{scale}_input_quant")
        for direction in DIRECTIONS:
            for scale in SCALES:
                self._build_branch(direction, scale, channels, narrow)
        for direction in DIRECTIONS:
            self._build_merge(direction, channels, narrow)
        self.gamma = self.add_weight(name="gamma", shape=(1,), initializer="zeros")
        super().build(input_shape)

    def _sublayer(self, kind: Any, name: str, channels: int | None = None, **config: Any) -> Any:
        """A layer with a structural name that can be found as an attribute of the same name."""
        layer = kind(name=name, dtype=self.dtype_policy, **config)
        if channels is not None:
            with tf.name_scope(name):
                layer.build(any_images(channels, self.data_format))
        setattr(self, name, layer)
        return layer

    def _build_branch(self, direction: str, scale: str, channels: int, narrow: int) -> None:
        name, layout = f"{direction}_{scale}", {"data_format": self.data_format, "use_bias": False}
        conv, depthwise = self._conv(), self._taps_kinds[self.quantized]
        taps = {"kernel_size": (3, 1), "padding": "same", **layout}
        self._sublayer(depthwise, f"{name}_taps", channels, **taps)
        self._quant_point(f"{name}_quant")
        self._sublayer(conv, f"{name}_pointwise", channels, filters=narrow, kernel_size=1, **layout)
        self._norm(f"{name}_bn", narrow)

    def _build_merge(self, direction: str, channels: int, narrow: int) -> None:
        config = {"filters": channels, "kernel_size": 1, "data_format": self.data_format}
        config["use_bias"] = not self.quantized  # what is left of the norm is one
        self._quant_point(f"{direction}_merge_quant")
        self._sublayer(self._conv(), f"{direction}_merge", narrow, **config)
        self._norm(f"{direction}_merge_bn", channels)

    # Found by their names, not held in dicts: Keras 3 would save a container and its layers too.

    def branch(self, direction: str, scale: str) -> list[Any]:
        """The layers of one scale: taps, quantiser, pointwise, norm."""
        parts = ("taps", "quant", "pointwise", "bn")
        return [getattr(self, f"{direction}_{scale}_{part}") for part in parts]

    def merge(self, direction: str) -> list[Any]:
        """The layers behind the scales' mean: quantiser, 1×1, norm."""
        return [getattr(self, f"{direction}_merge{part}") for part in ("_quant", "", "_bn")]

    def _conv(self) -> Any:
        return QuantConv2D if self.quantized else keras.layers.Conv2D

    def _quant_point(self, name: str) -> Any:
        return self._sublayer(self._point_kind, name, bits=8 if self.quantized else None)

    def _norm(self, name: str, channels: int) -> Any:
        if self.quantized:
            return self._sublayer(ChannelBias, name, channels, data_format=self.data_format)
        axis = 1 if self.data_format == "channels_first" else -1
        return self._sublayer(batch_norm, name, channels, axis=axis)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        check_input("MSA", inputs.shape, self.frames, self.reduction, self.data_format)
        x = fold_clips(self.input_quant(inputs), self.frames, self.data_format)  # (B, T, P, C)
        gates = [
            tf.sigmoid(chain(self.merge(d), self._as_images(z, inputs), training))
            for d, z in zip(DIRECTIONS, self._aggregate(x, training), strict=True)
        ]
        # x + γ·x·(½(σ(D^V) − ½) + ½(σ(D^H) − ½)) with the constants gathered.
        half = tf.cast(self.gamma, inputs.dtype) / 2
        return inputs * ((gates[0] + gates[1] - 1) * half + 1)

    def _aggregate(self, x: Any, training: bool | None) -> list[Any]:
        """Mean of the three scales per direction, ``(B, T, P, c)``; each convolution on its own."""
        pooled = self._pyramid(x)
        means = []
        for direction in DIRECTIONS:
            z = [chain(self.branch(direction, s), pooled[s], training) for s in SCALES]
            means.append(self._mean(z))
        return means

    def _mean(self, scales: list[Any]) -> Any:
        """Mean of the scales, which lie as `SCALES`; quantised kernels have the third in them."""
        total = self._total(scales)
        return total if self.quantized else total / len(scales)

    def _total(self, scales: list[Any]) -> Any:
        """Full + nearest-upsampled half + quarter, from coarse to fine."""
        total = scales[-1]
        for finer in reversed(scales[:-1]):
            total = finer + self._twice(total)
        return total

    def _twice(self, x: Any) -> Any:
        """Every frame two times."""
        return tf.repeat(x, 2, axis=1)

    def _pyramid(self, x: Any) -> dict[str, Any]:
        """`x` at each scale: means of two frames, and of two of those."""
        scales = {next(iter(SCALES)): x}
        for scale in POOLED:
            rounded = getattr(self, f"{scale}_input_quant")
            x = rounded(tf.nn.avg_pool2d(x, (2, 1), (2, 1), "VALID", data_format=self._layout))
            scales[scale] = x
        return scales

    def _as_images(self, z: Any, like: Any) -> Any:
        """``(B, T, P, c)`` → ``(B·T, H, W, c)``."""
        height, width = extent(like, self.data_format)
        return tf.reshape(z, (-1, height, width, z.shape[3]))

    def get_config(self) -> dict[str, Any]:
        config = {
            "frames": self.frames,
            "reduction": self.reduction,
            "quantized": self.quantized,
        }
        return {**super().get_config(), **config}


def chain(layers: list[Any], x: Any, training: Any) -> Any:
    """Layers one after the other; batch norm alone is told whether this is training."""
    for layer in layers:
        is_norm = isinstance(layer, keras.layers.BatchNormalization)
        x = layer(x, training=training) if is_norm else layer(x)
    return x
