"""DFDC: dynamic fine-grained difference capture."""

from __future__ import annotations

from typing import Any

from keras_ddl.edge.bundle import GATHER, SCATTER
from keras_ddl.framework import keras, tf
from keras_ddl.layers.checks import check_frames, check_input
from keras_ddl.layers.fold import any_images, extent, fold_clips, image_shape
from keras_ddl.layers.quant_conv import QuantConv2D
from keras_ddl.layers.quant_point import QuantPoint

NORM_EPSILON = 1e-12
RANGE_EPSILON = 1e-8
FLUCTUATION_FLOOR = 1e-10


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
        quantized: Round the projections and what goes into them to int8; the scores stay float.

    Input shape: ``(batch·frames, height, width, channels)``, floating point, any range.
    Output shape: the same.

    Raises:
        ValueError: frames not a positive multiple of 4, keep < 1, rank ≠ 4, channels below
            reduction, batch not a multiple of frames.

    Reference: DDL (IEEE TIFS 2023), section "dynamic fine-grained difference capture". Two
        deviations, both without effect on ordinary input: ties at the last kept rank are broken
        by position index, and a fluctuation under 1e-10, which is rounding error, is never kept,
        so that a frozen clip passes unchanged.
    """

    data_format = "channels_last"
    _feature_axis = 3  # of (B, T, P, c)
    _point_kind: type[QuantPoint] = QuantPoint

    def __init__(
        self,
        frames: int = 8,
        keep: int | None = None,
        reduction: int = 8,
        quantized: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_frames("DFDC", frames)
        if keep is not None and keep < 1:
            raise ValueError(f"DFDC: keep must be at least 1, or None for the height; got {keep}")
        if reduction < 1:
            raise ValueError(f"DFDC: reduction must be at least 1; got {reduction}")
        self.frames, self.keep, self.reduction = frames, keep, reduction
        self.quantized = quantized

    def build(self, input_shape: Any) -> None:
        channels = check_input("DFDC", input_shape, self.frames, self.reduction, self.data_format)
        self.input_quant = self._quant_point("input_quant")
        self.value_quant = self._quant_point("value_quant")
        self.query = self._projection("query", channels // self.reduction, input_shape)
        self.key = self._projection("key", channels // self.reduction, input_shape)
        # The kept positions of a clip lie as (frames, kept) where height and width were.
        self.value = self._projection("value", channels, any_images(channels, self.data_format))
        self.gamma = self.add_weight(name="gamma", shape=(1,), initializer="zeros")
        super().build(input_shape)

    def _quant_point(self, name: str) -> Any:
        return self._point_kind(8 if self.quantized else None, name=name, dtype=self.dtype_policy)

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
        return self._change_kept(inputs, index, strength)

    def _change_kept(self, inputs: Any, index: Any, strength: Any) -> Any:
        """``x + γ · v(x) · M̂`` at the kept positions; the others stay as they are."""
        height, width = extent(inputs, self.data_format)
        rows = self._frame_index(index) * (height * width) + index[:, None]
        flat = tf.reshape(inputs, (-1, inputs.shape[3]))  # (B·T·P, C)
        found = tf.gather(flat, rows, name=GATHER)  # (B, T, K, C)
        return self._scattered(flat, rows, self._with_value(found, strength[..., None]), inputs)

    def _with_value(self, found: Any, strength: Any) -> Any:
        """``x + γ · v(x) · M̂`` of an image of frames × kept positions."""
        value = self.value(self.value_quant(found))
        scale = tf.cast(tf.cast(self.gamma, tf.float32) * strength, found.dtype)
        return found + scale * tf.cast(value, found.dtype)

    def _scattered(self, flat: Any, rows: Any, found: Any, inputs: Any) -> Any:
        """The input with `found` in the rows that it was gathered from."""
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
        axis = self._feature_axis
        both = tf.cast(self._projected(x), tf.float32)
        both = fold_clips(both, self.frames, self.data_format)  # (B, T, P, 2c)
        query, key = (self._unit(half) for half in tf.split(both, 2, axis=axis))
        return -tf.reduce_sum(query * tf.reduce_sum(key, axis=1, keepdims=True), axis=axis)

    def _projected(self, x: Any) -> Any:
        """Query and key side by side: ``(B·T, H, W, 2c)``."""
        return tf.concat([self.query(x), self.key(x)], -1)

    def _unit(self, vectors: Any) -> Any:
        """Vectors of length 1; those shorter than 1e-12 become 0."""
        square = tf.reduce_sum(tf.square(vectors), axis=3, keepdims=True)
        nonzero = square > NORM_EPSILON**2
        return vectors * tf.where(nonzero, tf.math.rsqrt(tf.where(nonzero, square, 1.0)), 0.0)

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
            "quantized": self.quantized,
        }
        return {**super().get_config(), **config}
