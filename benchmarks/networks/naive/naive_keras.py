"""Naive DFDC and MSA: as one would write them from the paper's figures, to measure against.

The same weights and the same numbers as `keras_ddl.layers`, none of the identities: DFDC forms
every T × T product and a value at every position, MSA cuts the clip into height-time and time-width
slices and slides its kernels over them. Channels-last only.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers import CUSTOM_OBJECTS, DFDC, MSA
from keras_ddl.layers.dfdc import FLUCTUATION_FLOOR, NORM_EPSILON, RANGE_EPSILON
from keras_ddl.layers.msa import DIRECTIONS, SCALES

# Axes of (B, T, H, W, C) that make images of slices, and which of an image's axes is time.
_SLICES = {"vertical": ((0, 3, 2, 1, 4), 2), "horizontal": ((0, 2, 1, 3, 4), 1)}


class NaiveDFDC(DFDC):
    """`DFDC` by its definition."""

    def call(self, inputs: Any) -> Any:
        _, height, width, _ = inputs.shape
        query, key, value = (part(inputs) for part in (self.query, self.key, self.value))
        query, key = (self._clips(part) for part in (query, key))  # (B, T, P, c)
        products = tf.einsum("bipc,bjpc->bpij", query, key)  # (B, P, T, T)
        similarity = tf.transpose(-tf.reduce_sum(products, 3), (0, 2, 1))  # (B, T, P)
        fluctuation = tf.math.reduce_variance(similarity, axis=1)
        fluctuation *= self.frames / (self.frames - 1)
        keep = min(height if self.keep is None else self.keep, height * width)
        border = tf.math.top_k(fluctuation, keep).values[:, -1:]
        kept = (fluctuation >= border) & (fluctuation >= FLUCTUATION_FLOOR)
        scores = tf.where(kept[:, None], similarity, -float(self.frames))
        low = tf.reduce_min(scores, 2, keepdims=True)
        high = tf.reduce_max(scores, 2, keepdims=True)
        scores = tf.reshape((scores - low) / (high - low + RANGE_EPSILON), (-1, height, width, 1))
        return inputs + tf.cast(self.gamma * scores, value.dtype) * value

    def _clips(self, projected: Any) -> Any:
        """Unit vectors, frames on an axis of their own: ``(B, T, H·W, c)``, float32."""
        _, height, width, channels = projected.shape
        shape = (-1, self.frames, height * width, channels)
        clips = tf.reshape(tf.cast(projected, tf.float32), shape)
        return clips / tf.maximum(tf.norm(clips, axis=-1, keepdims=True), NORM_EPSILON)


class NaiveMSA(MSA):
    """`MSA` by its figure."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        _, height, width, channels = inputs.shape
        clip = tf.reshape(inputs, (-1, self.frames, height, width, channels))
        gates = 0.0
        for direction in DIRECTIONS:
            axes, time = _SLICES[direction]
            cut = tf.transpose(clip, axes)
            slices = tf.reshape(cut, (-1, *cut.shape[2:]))  # (B·W, H, T, C) or (B·H, T, W, C)
            scales = [
                self._scale(slices, direction, scale, size, time, training)
                for scale, size in SCALES.items()
            ]
            _, merge, norm = self.merge(direction)
            gate = tf.sigmoid(norm(merge(tf.add_n(scales) / len(scales)), training=training))
            gate = tf.transpose(tf.reshape(gate, tf.shape(cut)), axes)  # each is its own inverse
            gates += 0.5 * (gate - 0.5)
        gates = tf.reshape(gates, tf.shape(inputs))
        return inputs + tf.cast(self.gamma, inputs.dtype) * inputs * gates

    def _scale(
        self, slices: Any, direction: str, scale: str, size: int, time: int, training: bool | None
    ) -> Any:
        """One time scale of one direction, back at full length."""
        taps, _, pointwise, norm = self.branch(direction, scale)
        window = [size if axis == time else 1 for axis in (1, 2)]
        pooled = tf.nn.avg_pool2d(slices, window, window, "VALID") if size > 1 else slices
        kernel = tf.cast(taps.depthwise_kernel, pooled.dtype)  # (3, 1, C, 1)
        kernel = kernel if time == 1 else tf.transpose(kernel, (1, 0, 2, 3))
        found = tf.nn.depthwise_conv2d(pooled, kernel, [1] * 4, "SAME")
        found = norm(pointwise(found), training=training)
        return tf.repeat(found, size, axis=time)


def naive(model: keras.Model) -> keras.Model:
    """Return a copy of a network with its weights and the naive layers in place of both modules."""
    kinds = {DFDC: NaiveDFDC, MSA: NaiveMSA}

    def kind(layer: Any) -> Any:
        return kinds.get(type(layer), type(layer))

    with keras.utils.custom_object_scope(CUSTOM_OBJECTS):
        copy = keras.models.clone_model(
            model, clone_function=lambda layer: kind(layer).from_config(layer.get_config())
        )
    copy.set_weights(model.get_weights())
    return copy
