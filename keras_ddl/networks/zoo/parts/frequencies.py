"""F3-Net's two views of an image's frequencies: `FAD` and `LFS`."""

from __future__ import annotations

from itertools import pairwise
from math import log, prod
from typing import Any

import numpy as np

from keras_ddl.framework import keras, tf

WINDOW, STRIDE, PADDING, LOCAL_BANDS = 10, 2, 4, 6
GREY = (0.299, 0.587, 0.114)
FLOOR = 0.1


def dct_matrix(size: int) -> np.ndarray:
    """The orthonormal DCT-II: row k is the cosine of k half periods over the image."""
    frequency, place = np.mgrid[:size, :size]
    rows = np.cos(np.pi * frequency * (place + 0.5) / size) * np.sqrt(2 / size)
    rows[0] /= np.sqrt(2)
    return rows


def band_masks(size: int, edges: list[tuple[float, float]]) -> np.ndarray:
    """For each band 1 where low ≤ i + j < high, else 0: ``(bands, size, size)``."""
    total = np.add.outer(np.arange(size), np.arange(size))
    return np.stack([(low <= total) & (total < high) for low, high in edges]).astype(np.float32)


def image_bands(size: int) -> np.ndarray:
    """FAD's base masks: low, middle, high, all."""
    first, second, end = size / 2.82, size / 2, 2 * size
    return band_masks(size, [(0, first), (first, second), (second, end), (0, end)])


def local_bands() -> np.ndarray:
    """LFS' base masks: six of equal width, from low to high."""
    edges = [2 * WINDOW * number / LOCAL_BANDS for number in range(LOCAL_BANDS + 1)]
    return band_masks(WINDOW, list(pairwise(edges)))


class _Bands(keras.layers.Layer):
    """A layer of base masks and what is learnt on top: ``base + 2σ(w) − 1``, w from 0.

    It computes in float32 whatever the policy: a spectrum spans more than float16 resolves.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": "float32"})

    def _masks(self, base: np.ndarray) -> Any:
        return tf.constant(base) + 2 * tf.sigmoid(self.learnt) - 1


@keras.utils.register_keras_serializable("keras_ddl")
class FAD(_Bands):
    """Frequency-aware decomposition: the image through four learnable band filters.

    ``D^T · ((D · x · D^T) * mask) · D`` for each mask, D the orthonormal DCT-II of the whole image.
    The masks start as the base ones: i + j below S / 2.82, from there to S / 2, above, and all.

    Call arguments:
        inputs: Images in [−1, 1].

    Input shape: ``(batch, S, S, C)``. Output shape: ``(batch, S, S, 4·C)``, the channels of a band
        side by side; float32.

    Raises:
        ValueError: the image is not square, or its size not known.

    Reference: Qian et al., ECCV 2020, section 3.1. Whether the edges belong to both bands is not
        public; here to the higher one.
    """

    def build(self, input_shape: Any) -> None:
        _, height, width, self._channels = input_shape
        if height is None or height != width:
            raise ValueError(f"FAD: expected square images of a known size; got {input_shape}")
        self._dct = dct_matrix(height).astype(np.float32)
        self._base = image_bands(height)
        self.learnt = self.add_weight("learnt", self._base.shape, initializer="zeros")
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        side, channels = inputs.shape[2], inputs.shape[3]
        dct, inverse = tf.constant(self._dct), tf.constant(self._dct.T.copy())
        x = tf.transpose(inputs, (0, 3, 1, 2))  # (N, C, S, S)
        spectrum = tf.matmul(tf.matmul(dct, x), inverse)[:, None]  # (N, 1, C, S, S)
        banded = spectrum * self._masks(self._base)[:, None]  # (N, 4, C, S, S)
        x = tf.reshape(banded, (-1, len(self._base) * channels, side, side))  # (N, 4·C, S, S)
        x = tf.matmul(tf.matmul(inverse, x), dct)
        return tf.transpose(x, (0, 2, 3, 1))

    def macs(self) -> int:
        """Two products of matrices there, and two back for each band."""
        side = len(self._dct)
        return 2 * side**3 * self._channels * (1 + len(self._base))


@keras.utils.register_keras_serializable("keras_ddl")
class LFS(_Bands):
    """Local frequency statistics: how strong six bands are around each position.

    Grey windows of 10×10 pixels, 2 apart, the DCT-II of each, and ``log10(|·| + 0.1)`` of its
    coefficients, averaged over each band with learnable masks.

    Call arguments:
        inputs: RGB images in [−1, 1].

    Input shape: ``(batch, S, S, 3)``. Output shape: ``(batch, n, n, 6)`` with n = ⌊(S − 1) / 2⌋,
        the size after Xception's first convolution; float32, from −1 to 3.41 while the masks are
        the base ones.

    Raises:
        ValueError: not three channels, or a size that is not known.

    Reference: Qian et al., ECCV 2020, section 3.2. Our choice: the floor of 0.1 grey levels, below
        what rounding to 8 bits leaves (0.29); a smaller one makes the last bits of float32 loud
        where an image is flat. Images of an even size lose the last window, so that the streams
        fit.
    """

    def build(self, input_shape: Any) -> None:
        _, height, width, channels = input_shape
        if height is None or width is None or channels != 3:
            raise ValueError(f"LFS: expected RGB images of a known size; got {input_shape}")
        dct = dct_matrix(WINDOW)
        waves = np.einsum("ua,vb->abuv", dct, dct)  # (row, column, frequency, frequency)
        self._kernel = waves.reshape(WINDOW, WINDOW, 1, -1).astype(np.float32)
        self._base = local_bands()
        self.learnt = self.add_weight("learnt", self._base.shape, initializer="zeros")
        self._sides = [(side - 1) // STRIDE for side in (height, width)]
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        grey = tf.matmul((inputs + 1) * 127.5, tf.constant(GREY, shape=(3, 1)))  # (N, S, S, 1)
        after = [
            STRIDE * (windows - 1) + WINDOW - PADDING - side
            for windows, side in zip(self._sides, inputs.shape[1:3], strict=True)
        ]
        padding = [[0, 0], *([PADDING, end] for end in after), [0, 0]]
        waves = tf.nn.conv2d(grey, tf.constant(self._kernel), STRIDE, padding)  # (N, n, n, 100)
        strength = tf.math.log(tf.abs(waves) + FLOOR) / log(10)
        counts = tf.constant(self._base.sum((1, 2), keepdims=True))
        means = tf.reshape(self._masks(self._base) / counts, (LOCAL_BANDS, -1))  # (6, 100)
        return tf.matmul(strength, means, transpose_b=True)

    def macs(self) -> int:
        """Every coefficient of every window, and the averages."""
        return prod(self._sides) * WINDOW**2 * (WINDOW**2 + LOCAL_BANDS)
