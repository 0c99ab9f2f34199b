"""CrossAttention: two streams of features look at each other."""

from __future__ import annotations

from math import sqrt
from typing import Any

from keras_ddl.framework import keras, tf


@keras.utils.register_keras_serializable("keras_ddl")
class CrossAttention(keras.layers.Layer):
    """Adds to each position of one stream what the other has where it is alike.

    With keys ``k = x·W`` of C/reduction channels and ``E = k_x k_yᵀ / √(C/reduction)`` over all
    pairs of positions: ``x + γ_x · softmax(E) · v(y)`` and ``y + γ_y · softmax(Eᵀ) · v(x)``, v a
    1×1 projection. Both γ start at 0, so that pretrained weights keep their meaning. E and its
    softmax are computed in float32 whatever the policy.

    Args:
        reduction: Channels over channels of the keys.

    Call arguments:
        inputs: The two streams ``[x, y]``, as they come out too.

    Input shape: twice ``(batch, height, width, C)``. Output shape: the same.

    Raises:
        ValueError: the two differ in shape, or have fewer channels than `reduction`.

    Reference: the dual cross-modality attention of Luo et al., CVPR 2021, without its linear layer
        over all pairs, which ties a network to one size.
    """

    def __init__(self, reduction: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reduction = reduction

    def build(self, input_shape: Any) -> None:
        x, y = (tuple(shape) for shape in input_shape)
        if x[1:] != y[1:] or x[-1] < self.reduction:
            raise ValueError(
                f"CrossAttention: expected two streams of one shape and at least reduction = "
                f"{self.reduction} channels; got {x} and {y}"
            )
        self._positions, channels = x[1] * x[2], x[-1]
        narrow = channels // self.reduction
        self.keys, self.values, self.gammas = [], [], []
        for stream in ("x", "y"):
            glorot = {"initializer": "glorot_uniform"}
            self.keys.append(self.add_weight(f"key_{stream}", (channels, narrow), **glorot))
            self.values.append(self.add_weight(f"value_{stream}", (channels, channels), **glorot))
            self.gammas.append(self.add_weight(f"gamma_{stream}", (1,), initializer="zeros"))
        super().build(input_shape)

    def call(self, inputs: Any) -> list[Any]:
        x, y = (self._flat(stream) for stream in inputs)  # (N, H·W, C)
        of_x, of_y = self._attentions(x, y)
        from_y = self.gammas[0] * tf.matmul(of_x, tf.matmul(y, self.values[1]))
        from_x = self.gammas[1] * tf.matmul(of_y, tf.matmul(x, self.values[0]))
        height, width, channels = inputs[0].shape[1:]
        shape = (-1, height, width, channels)
        return [tf.reshape(x + from_y, shape), tf.reshape(y + from_x, shape)]

    def _attentions(self, x: Any, y: Any) -> tuple[Any, Any]:
        """How much each position of x takes of each of y, and of y of x: ``(N, H·W, H·W)`` each,
        rows summing to 1."""
        keys_x, keys_y = (  # (N, H·W, C / reduction)
            tf.matmul(stream, key) for stream, key in zip((x, y), self.keys, strict=True)
        )
        scale = 1 / sqrt(keys_x.shape[-1])
        energy = tf.cast(tf.matmul(keys_x, keys_y, transpose_b=True), tf.float32) * scale
        turned = tf.transpose(energy, (0, 2, 1))
        of_x, of_y = (tf.cast(tf.nn.softmax(pairs), x.dtype) for pairs in (energy, turned))
        return of_x, of_y

    @staticmethod
    def _flat(stream: Any) -> Any:
        _, height, width, channels = stream.shape
        return tf.reshape(stream, (-1, height * width, channels))

    def macs(self) -> int:
        """Keys and values of both streams, all pairs, and what both take."""
        positions = self._positions
        (channels, narrow), square = self.keys[0].shape, self.values[0].shape[0] ** 2
        projections = 2 * (channels * narrow + square)
        return positions * (projections + positions * (narrow + 2 * channels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "reduction": self.reduction}
