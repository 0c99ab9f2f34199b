"""The three parts of multi-attentional detection: maps, enhanced texture, and pooling by maps."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_ddl.framework import keras, tf

GROWTHS = 3  # convolutions of the dense block after its first


class _Part(keras.layers.Layer):
    """Sublayers of structural names."""

    def _sublayer(self, name: str, layer: Any, channels: int) -> None:
        with tf.name_scope(name):
            layer.build((None, None, None, channels))
        setattr(self, name, layer)

    def _conv(self, name: str, kernel: int, channels: int, filters: int) -> None:
        # no bias: batch norm follows, and takes it away again
        layer = keras.layers.Conv2D(
            filters, kernel, padding="same", use_bias=False, name=name, dtype=self.dtype_policy
        )
        self._sublayer(name, layer, channels)

    def _norm(self, name: str, channels: int) -> None:
        layer = keras.layers.BatchNormalization(name=name, dtype=self.dtype_policy)
        self._sublayer(name, layer, channels)


@keras.utils.register_keras_serializable("keras_ddl")
class AttentionMaps(_Part):
    """Where to look: ``ELU(BN(1×1(ReLU(BN(3×3(x)))))) + 1``.

    Args:
        maps: Number of maps M.

    Input shape: ``(N, height, width, C)``, any range.
    Output shape: ``(N, height, width, maps)``, above 0.

    Raises:
        ValueError: maps below 1.

    Reference: Zhao et al., CVPR 2021, "Attention Module". The released code also sets the two
    outermost positions of a map to 0; here they stay.
    """

    def __init__(self, maps: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if maps < 1:
            raise ValueError(f"AttentionMaps: maps must be at least 1; got {maps}")
        self.maps = maps

    def build(self, input_shape: Any) -> None:
        self.channels = input_shape[-1]
        self._conv("extract", 3, self.channels, self.channels)
        self._norm("extract_bn", self.channels)
        self._conv("score", 1, self.channels, self.maps)
        self._norm("score_bn", self.maps)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = tf.nn.relu(self.extract_bn(self.extract(inputs), training=training))
        x = self.score_bn(self.score(x), training=training)
        # ELU(x) + 1, written so that it does not round to 0 for a very negative x
        return tf.exp(tf.minimum(x, tf.zeros((), x.dtype))) + tf.nn.relu(x)

    def macs(self) -> int:
        """Multiply-accumulates per image."""
        positions = self.input_shape[1] * self.input_shape[2]
        return positions * self.channels * (9 * self.channels + self.maps)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "maps": self.maps}


@keras.utils.register_keras_serializable("keras_ddl")
class TextureEnhancement(_Part):
    """What shallow features hold beyond their local mean, through a dense block for each map.

    The local mean is taken over windows of pool × pool and subtracted from the features at every
    position of the window. Block m sees the rest weighed by tanh of map m (no gradient goes back
    into the map that way). It is a 5×5 convolution to C channels; three times BN, ReLU and a 3×3
    convolution, each of which adds C channels to those there are; BN, ReLU, 1×1 to C, BN, ReLU.

    Args:
        pool: Side of the windows.

    Inputs: features ``(N, height, width, C)``, any range; maps ``(N, h, w, M)``, above 0, resized
        to the features.
    Output shape: ``(N, M, height, width, C)``, at least 0.

    Raises:
        ValueError: pool below 1.

    Reference: Zhao et al., CVPR 2021, "Textural Feature Enhancement Block", and its released code.
    """

    def __init__(self, pool: int = 4, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pool < 1:
            raise ValueError(f"TextureEnhancement: pool must be at least 1; got {pool}")
        self.pool = pool

    def build(self, input_shape: Any) -> None:
        (*_, self.channels), (*_, self.maps) = input_shape
        for m in range(self.maps):
            self._conv(f"map{m}_conv0", 5, self.channels, self.channels)
            for step in range(1, GROWTHS + 1):
                self._norm(f"map{m}_bn{step}", step * self.channels)
                self._conv(f"map{m}_conv{step}", 3, step * self.channels, self.channels)
            together = (GROWTHS + 1) * self.channels
            self._norm(f"map{m}_merge_bn", together)
            self._conv(f"map{m}_merge", 1, together, self.channels)
            self._norm(f"map{m}_bn", self.channels)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        features, maps = inputs
        weights = tf.tanh(tf.stop_gradient(resized(maps, features)))
        texture = self.enhanced(features)
        blocks = [
            self._block(m, texture * weights[..., m : m + 1], training) for m in range(self.maps)
        ]
        return tf.stack(blocks, 1)

    def enhanced(self, features: Any) -> Any:
        """The features less their local mean, ``(N, H, W, C)``."""
        _, height, width, _ = features.shape
        mean = tf.nn.avg_pool2d(features, self.pool, self.pool, "SAME")
        mean = tf.repeat(tf.repeat(mean, self.pool, 1), self.pool, 2)
        # "SAME" hangs windows over the edges, the smaller part of what is too much before the first
        top, left = ((-side % self.pool) // 2 for side in (height, width))
        return features - mean[:, top : top + height, left : left + width]

    def _block(self, m: int, x: Any, training: bool | None) -> Any:
        def normed(x: Any, name: str) -> Any:
            return tf.nn.relu(getattr(self, f"map{m}_{name}")(x, training=training))

        grown = getattr(self, f"map{m}_conv0")(x)
        for step in range(1, GROWTHS + 1):
            new = getattr(self, f"map{m}_conv{step}")(normed(grown, f"bn{step}"))
            grown = tf.concat([grown, new], -1)
        merged = getattr(self, f"map{m}_merge")(normed(grown, "merge_bn"))
        return normed(merged, "bn")

    def macs(self) -> int:
        """Multiply-accumulates per image."""
        _, height, width, _ = self.input_shape[0]
        grown = sum(9 * step for step in range(1, GROWTHS + 1))
        kernels = (25 + grown + GROWTHS + 1) * self.channels**2
        return self.maps * height * width * kernels

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool": self.pool}


@keras.utils.register_keras_serializable("keras_ddl")
class AttentionPooling(keras.layers.Layer):
    """A vector of the features for each map: their sum weighed by it, of unit length.

    ``v_m = Σ_p A_m(p) · F_m(p)``, then ``v_m / |v_m|``.

    Inputs: features ``(N, height, width, C)`` for all maps or ``(N, M, height, width, C)``, any
        range; maps ``(N, h, w, M)``, resized to the features.
    Output shape: ``(N, M, C)``.

    Reference: Zhao et al., CVPR 2021, "Bilinear Attention Pooling".
    """

    def call(self, inputs: Any) -> Any:
        features, maps = inputs
        sums = tf.cast(pooled(features, resized(maps, features)), tf.float32)
        return tf.cast(tf.math.l2_normalize(sums, -1), self.compute_dtype)

    def macs(self) -> int:
        """Multiply-accumulates per image."""
        (_, *_, height, width, channels), (*_, maps) = self.input_shape
        return maps * height * width * channels


@keras.utils.register_keras_serializable("keras_ddl")
class AttentionMean(keras.layers.Layer):
    """The mean of the features, weighed by the sum of all maps.

    Inputs: features ``(N, height, width, C)``, any range; maps ``(N, h, w, M)``, above 0, resized
        to the features.
    Output shape: ``(N, C)``.

    Reference: Zhao et al., CVPR 2021, global branch; the weighing is the released code's.
    """

    def call(self, inputs: Any) -> Any:
        features, maps = inputs
        total = tf.reduce_sum(resized(maps, features), -1, keepdims=True)
        share = total / tf.reduce_sum(total, (1, 2), keepdims=True)
        return pooled(features, share)[:, 0]

    def macs(self) -> int:
        """Multiply-accumulates per image."""
        (_, height, width, channels), _ = self.input_shape
        return height * width * channels


def resized(maps: Any, features: Any) -> Any:
    """The maps at the features' height and width, linear between their positions.

    By products with constant matrices: an exported Resize is told a ratio, and where that rounds
    down, as from 24 to 95 (380 px), its result lacks a row.
    """
    size, own = features.shape[-3:-1], maps.shape[1:3]
    if own == size:
        return maps
    rows, columns = (
        tf.constant(_linear_matrix(*ends), maps.dtype) for ends in zip(own, size, strict=True)
    )
    images = tf.transpose(maps, (0, 3, 1, 2))  # (N, M, h, w)
    large = tf.matmul(tf.matmul(rows, images), columns, transpose_b=True)
    return tf.transpose(large, (0, 2, 3, 1))  # (N, H, W, M)


def _linear_matrix(old: int, new: int) -> np.ndarray:
    """Matrix ``(new, old)`` that reads `old` samples at the middles of `new` equal parts."""
    places = (np.arange(new) + 0.5) * old / new - 0.5
    before = np.floor(places).astype(int)
    matrix = np.zeros((new, old), np.float32)
    for offset, share in ((0, 1 - (places - before)), (1, places - before)):
        np.add.at(matrix, (np.arange(new), np.clip(before + offset, 0, old - 1)), share)
    return matrix


def pooled(features: Any, maps: Any) -> Any:
    """``Σ_p A_m(p) · F(p)``, ``(N, M, C)``, with maps of the features' height and width."""
    *_, height, width, channels = features.shape
    count, positions = maps.shape[-1], height * width
    weights = tf.transpose(tf.reshape(maps, (-1, positions, count)), (0, 2, 1))  # (N, M, P)
    if len(features.shape) == 4:
        return weights @ tf.reshape(features, (-1, positions, channels))
    each = tf.reshape(features, (-1, count, positions, channels))  # (N, M, P, C)
    return (weights[:, :, None] @ each)[:, :, 0]
