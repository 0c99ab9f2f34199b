"""DFDC: dynamic fine-grained difference capture."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers.checks import check_data_format, check_frames, check_input
from keras_ddl.layers.fold import extent, fold_clips, image_shape
from keras_ddl.layers.quant_conv import QuantConv2D
from keras_ddl.layers.quant_point import QuantPoint

NORM_EPSILON = 1e-12
RANGE_EPSILON = 1e-8
FLUCTUATION_FLOOR = 1e-10
GATHER, SCATTER = "gather_kept", "scatter_kept"  # names by which the exporter finds the two


class DFDC(keras.layers.Layer):
    """Adds, at the positions whose frame-to-frame similarity fluctuates most, what is found there.

    Motion changes the similarity of a position to the other frames little from frame to frame,
    forgery a lot. With ``q``, ``k`` the L2-normalised projections of the input and ``i``, ``j``
    frames of a clip::

        M_i = Σ_j −q_i·k_j  =  −q_i · Σ_j k_j                          in [−T, T]
        fluctuation = variance of M over the frames                     one value per position
        M̂ = min-max over positions, per frame, of M where the fluctuation is among the
             `keep` largest and of −T elsewhere                         in [0, 1]
        y = x + γ · v(x) · M̂                                            γ starts at 0

    No T×T product is formed, and because M̂ is 0 at every suppressed position ``v`` is computed at
    the kept ones only: gather, project, scatter. The scores stay float32 under every dtype policy:
    the epsilons do not exist in float16.

    Args:
        frames: Frames per clip T, a multiple of 4; consecutive in the batch axis.
        keep: Positions that survive. None means H, the height of the input (the paper: suppressed
            are those below the H-th largest); the authors' released code keeps H − 1.
        reduction: ``q`` and ``k`` have ``channels // reduction`` channels.
        data_format: ``channels_last`` or ``channels_first`` (the layout that exported graphs run
            in).
        quantized: Round the projections and what goes into them to int8; the scores stay float.

    Input shape: ``(batch·frames, height, width, channels)``, floating point, any range.
    Output shape: the same.

    Raises:
        ValueError: frames not a positive multiple of 4, keep < 1, rank ≠ 4, channels below
            reduction, batch not a multiple of frames.

    Reference: DDL (IEEE TIFS 2023), section "dynamic fine-grained difference capture". Two
        deviations, both without effect on ordinary input: ties at the last kept place are broken
        by position index, and a fluctuation under 1e-10, which is rounding error, is never kept,
        so that a frozen clip passes unchanged.
    """

    def __init__(
        self,
        frames: int = 8,
        keep: int | None = None,
        reduction: int = 8,
        data_format: str = "channels_last",
        quantized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_frames("DFDC", frames)
        check_data_format("DFDC", data_format)
        if keep is not None and keep < 1:
            raise ValueError(f"DFDC: keep must be at least 1, or None for the height; got {keep}")
        if reduction < 1:
            raise ValueError(f"DFDC: reduction must be at least 1; got {reduction}")
        self.frames, self.keep, self.reduction = frames, keep, reduction
        self.data_format, self.quantized = data_format, quantized

    def build(self, input_shape: Any) -> None:
        channels = check_input("DFDC", input_shape, self.frames, self.reduction, self.data_format)
        first = self.data_format == "channels_first"
        # The kept positions of a clip lie as (frames, kept) where height and width were.
        gathered = (None, channels, None, None) if first else (None, None, None, channels)
        self.input_quant = self._quant_point("input_quant")
        self.value_quant = self._quant_point("value_quant")
        self.query = self._projection("query", channels // self.reduction, input_shape)
        self.key = self._projection("key", channels // self.reduction, input_shape)
        self.value = self._projection("value", channels, gathered)
        self.gamma = self.add_weight(name="gamma", shape=(1,), initializer="zeros")
        super().build(input_shape)

    def _quant_point(self, name: str) -> Any:
        rules = {"bits": 8, "mark": self.data_format == "channels_first"} if self.quantized else {}
        return QuantPoint(name=name, dtype=self.dtype_policy, **rules)

    def _projection(self, name: str, filters: int, shape: Any) -> Any:
        layer = (QuantConv2D if self.quantized else keras.layers.Conv2D)(
            filters,
            1,
            use_bias=False,
            data_format=self.data_format,
            name=name,
            dtype=self.dtype_policy,
        )
        with tf.name_scope(name):
            layer.build(tuple(shape))
        return layer

    def call(self, inputs: Any) -> Any:
        check_input("DFDC", inputs.shape, self.frames, self.reduction, self.data_format)
        height, width = extent(inputs, self.data_format)
        index, strength = self._select(self._similarity(self.input_quant(inputs)), height, width)
        frame = self._frame_index(index)
        if self.data_format == "channels_first":
            channels = inputs.shape[1]
            rows = (frame[..., None] * channels + tf.range(channels)[:, None]) * (height * width)
            rows = rows + index[:, None, None]  # (B, T, C, K) into (B·T·C·P,)
            flat, to_image = tf.reshape(inputs, (-1,)), (0, 2, 1, 3)
            strength = strength[:, None]  # (B, 1, T, K)
        else:
            rows = frame * (height * width) + index[:, None]  # (B, T, K) into (B·T·P, C)
            flat, to_image = tf.reshape(inputs, (-1, inputs.shape[3])), (0, 1, 2, 3)
            strength = strength[..., None]  # (B, T, K, 1)
        found = tf.gather(flat, rows, name=GATHER)
        found = tf.transpose(found, to_image)  # an image: frames × kept
        value = self.value(self.value_quant(found))
        scale = tf.cast(tf.cast(self.gamma, tf.float32) * strength, found.dtype)
        found = tf.transpose(found + scale * tf.cast(value, found.dtype), to_image)
        updates = tf.reshape(found, (-1, *flat.shape[1:]))
        outputs = tf.tensor_scatter_nd_update(
            flat, tf.reshape(rows, (-1, 1)), updates, name=SCATTER
        )
        return tf.reshape(outputs, image_shape(inputs))

    def inconsistency(self, inputs: Any) -> Any:
        """M̂ of the same input: ``(batch, frames, height, width)``, float32 in [0, 1]."""
        height, width = extent(inputs, self.data_format)
        similarity = self._similarity(self.input_quant(inputs))
        index, strength = self._select(similarity, height, width)
        rows = self._frame_index(index) * (height * width) + index[:, None]  # (B, T, K)
        flat = tf.scatter_nd(
            tf.reshape(rows, (-1, 1)),
            tf.reshape(strength, (-1,)),
            tf.reshape(tf.size(similarity), (1,)),
        )
        return tf.reshape(flat, (-1, self.frames, height, width))

    def _similarity(self, x: Any) -> Any:
        """M: similarity of each frame to its clip's frames, ``(B, T, P)``, float32 in [−T, T]."""
        if self.data_format == "channels_first":  # one convolution where a graph is exported
            kernel = tf.cast(tf.concat([self.query.kernel, self.key.kernel], -1), x.dtype)
            both, axis = tf.nn.conv2d(x, kernel, 1, "VALID", data_format="NCHW"), 2
        else:
            both, axis = tf.concat([self.query(x), self.key(x)], -1), 3
        both = fold_clips(tf.cast(both, tf.float32), self.frames, self.data_format)
        query, key = (_unit(half, axis, self.data_format) for half in tf.split(both, 2, axis=axis))
        return -tf.reduce_sum(query * tf.reduce_sum(key, axis=1, keepdims=True), axis=axis)

    def _select(self, similarity: Any, height: Any, width: Any) -> tuple[Any, Any]:
        """Kept positions ``(B, K)`` and M̂ there ``(B, T, K)``, K = min(keep, positions)."""
        lowest, positions = -float(self.frames), height * width
        keep = height if self.keep is None else self.keep
        static = isinstance(keep, int) and isinstance(positions, int)
        kept = min(keep, positions) if static else tf.minimum(keep, positions)
        fluctuation = tf.math.reduce_variance(similarity, axis=1)  # (B, P)
        variance, index = tf.math.top_k(fluctuation, kept)
        chosen = tf.gather(similarity, index, axis=2, batch_dims=1)
        chosen = tf.maximum(chosen, lowest)  # rounding takes frames that are all alike below it
        chosen = tf.where((variance > FLUCTUATION_FLOOR)[:, None], chosen, lowest)
        high = tf.reduce_max(chosen, axis=2, keepdims=True)
        low = tf.fill(tf.shape(high), lowest)  # the suppressed positions, unless there are none
        if not static or keep >= positions:
            low = tf.where(kept < positions, low, tf.reduce_min(chosen, axis=2, keepdims=True))
        # Not "+ ε": graph optimisers fold it into the constant `low`, where float32 loses it, and a
        # frozen clip gives 0 / 0.
        return index, (chosen - low) / tf.maximum(high - low, RANGE_EPSILON)

    def _frame_index(self, index: Any) -> Any:
        """Number of each frame in the batch: ``(B, T, 1)``."""
        return tf.reshape(tf.range(tf.shape(index)[0] * self.frames), (-1, self.frames, 1))

    def get_config(self) -> dict[str, Any]:
        config = {
            "frames": self.frames,
            "keep": self.keep,
            "reduction": self.reduction,
            "data_format": self.data_format,
            "quantized": self.quantized,
        }
        return {**super().get_config(), **config}


def _unit(vectors: Any, axis: int, data_format: str) -> Any:
    """Vectors of length 1; those shorter than 1e-12 become 0 (almost, in an exported graph)."""
    square = tf.reduce_sum(tf.square(vectors), axis=axis, keepdims=True)
    if data_format == "channels_first":  # the same in fewer steps; its gradient is not finite at 0
        return vectors * tf.math.rsqrt(tf.maximum(square, NORM_EPSILON**2))
    nonzero = square > NORM_EPSILON**2
    return vectors * tf.where(nonzero, tf.math.rsqrt(tf.where(nonzero, square, 1.0)), 0.0)
