"""The channels-first forms of the layers, which an exported graph is traced from.

The same weights and the same numbers as the layers they come from, with images as ``(batch,
channels, height, width)``. They are for tracing alone: TensorFlow has no CPU kernels for that
layout, batch norm stands still, and the gradient of a DFDC is not finite everywhere.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.edge.bundle import GATHER, RANGE_MARK
from keras_ddl.framework import keras, tf
from keras_ddl.layers.clip_io import ClipToFrames, FramesToChannels
from keras_ddl.layers.dfdc import DFDC, NORM_EPSILON
from keras_ddl.layers.fold import extent, fold_clips, image_shape
from keras_ddl.layers.msa import DIRECTIONS, MSA, chain
from keras_ddl.layers.pool import PaddedMaxPool2D
from keras_ddl.layers.quant_conv import QuantDepthwiseConv2D
from keras_ddl.layers.quant_point import QuantPoint

SWAP = (0, 2, 1, 3)  # frames and channels of (B, T, C, P)


class ChannelsFirstClipToFrames(ClipToFrames):
    """`ClipToFrames` whose result is ``(batch·frames, 3, height, width)``."""

    data_format = "channels_first"

    def _folded(self, clip: Any) -> Any:
        return tf.transpose(super()._folded(clip), (0, 3, 1, 2))


class ChannelsFirstFramesToChannels(FramesToChannels):
    """`FramesToChannels` of ``(batch·frames, C, height, width)``: a reshape, for C lies outside."""

    data_format = "channels_first"

    def call(self, inputs: Any) -> Any:
        _, channels, height, width = inputs.shape
        return tf.reshape(inputs, (-1, self.frames * channels, height, width))


class ChannelsFirstPaddedMaxPool2D(PaddedMaxPool2D):
    """`PaddedMaxPool2D` as one operator with padding of its own."""

    data_format = "channels_first"

    def call(self, inputs: Any) -> Any:
        padding = [[0, 0], [0, 0], *[[self.padding, self.padding]] * 2]
        return tf.nn.max_pool2d(inputs, self.pool_size, self.strides, padding, data_format="NCHW")


class ChannelsFirstQuantPoint(QuantPoint):
    """`QuantPoint` that leaves its range in the graph, as a clip under the name `RANGE_MARK`, and
    rounds nothing: the exporter puts ONNX's own operators there.
    """

    def _quantise(self, inputs: Any, training: bool) -> Any:
        low, high = (self._range[end] for end in ("min_var", "max_var"))
        return tf.raw_ops.ClipByValue(
            t=inputs, clip_value_min=low, clip_value_max=high, name=RANGE_MARK
        )


class ChannelsFirstDFDC(DFDC):
    """`DFDC` that gathers single numbers, and projects query and key in one convolution."""

    data_format = "channels_first"
    _feature_axis = 2  # of (B, T, c, P)
    _point_kind = ChannelsFirstQuantPoint

    def _projected(self, x: Any) -> Any:
        kernel = tf.cast(tf.concat([self.query.kernel, self.key.kernel], -1), x.dtype)
        return tf.nn.conv2d(x, kernel, 1, "VALID", data_format="NCHW")

    def _unit(self, vectors: Any) -> Any:
        """The same in fewer steps; its gradient is not finite at 0."""
        square = tf.reduce_sum(tf.square(vectors), axis=2, keepdims=True)
        return vectors * tf.math.rsqrt(tf.maximum(square, NORM_EPSILON**2))

    def _change_kept(self, inputs: Any, index: Any, strength: Any) -> Any:
        channels, (height, width) = inputs.shape[1], extent(inputs, self.data_format)
        frame = self._frame_index(index)[..., None]
        rows = (frame * channels + tf.range(channels)[:, None]) * (height * width)
        rows = rows + index[:, None, None]  # (B, T, C, K) into (B·T·C·P,)
        flat = tf.reshape(inputs, (-1,))
        found = tf.transpose(tf.gather(flat, rows, name=GATHER), SWAP)  # (B, C, T, K)
        found = tf.transpose(self._with_value(found, strength[:, None]), SWAP)
        return self._scattered(flat, rows, found, inputs)


class TimeTaps(keras.layers.DepthwiseConv2D):
    """A depthwise convolution along time that is traced channels-first as it stands.

    Keras takes a detour through channels-last wherever it runs without a GPU, and leaves two
    transposes in the exported graph.
    """

    def call(self, inputs: Any) -> Any:
        padding = [[0, 0], [0, 0], [1, 1], [0, 0]]  # one frame before, one after
        kernel = tf.cast(self.depthwise_kernel, inputs.dtype)
        return tf.nn.depthwise_conv2d(inputs, kernel, [1] * 4, padding, data_format="NCHW")


class QuantTimeTaps(TimeTaps, QuantDepthwiseConv2D):
    """`TimeTaps` with the weights of a `QuantDepthwiseConv2D`."""


class ChannelsFirstMSA(MSA):
    """`MSA` in which time is a spatial axis of ``(batch, channels, T, H·W)`` throughout."""

    data_format = "channels_first"
    _layout = "NCHW"
    _point_kind = ChannelsFirstQuantPoint
    _taps_kinds = (TimeTaps, QuantTimeTaps)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        x = tf.transpose(fold_clips(inputs, self.frames, self.data_format), SWAP)
        means = self._aggregate(self.input_quant(x), training=False)  # (B, c, T, P)
        gates = [
            tf.sigmoid(chain(self.merge(d), z, training=False))
            for d, z in zip(DIRECTIONS, means, strict=True)
        ]
        outputs = tf.transpose(x * self._scaled(gates[0] + gates[1]), SWAP)
        return tf.reshape(outputs, image_shape(inputs))

    def _mean(self, scales: list[Any]) -> Any:
        """A third of each first: the convolutions absorb it."""
        if not self.quantized:
            scales = [scale / len(scales) for scale in scales]
        return self._total(scales)

    def _twice(self, x: Any) -> Any:
        """The exporter cancels the transposes and keeps one Resize, which runtimes have in any
        layout.
        """
        images = tf.transpose(x, (0, 2, 3, 1))
        frames, positions = extent(x, self.data_format)
        images = tf.raw_ops.ResizeNearestNeighbor(images=images, size=(2 * frames, positions))
        return tf.transpose(images, (0, 3, 1, 2))

    def _scaled(self, gate: Any) -> Any:
        """``1 + γ/2 · (gate − 1)`` as a batch norm: runtimes compute it in their own layout."""
        half = tf.repeat(tf.cast(self.gamma, gate.dtype) / 2, gate.shape[1])
        kept = {"mean": tf.zeros_like(half), "variance": tf.ones_like(half), "epsilon": 0.0}
        return tf.raw_ops.FusedBatchNormV3(
            x=gate, scale=half, offset=1 - half, is_training=False, data_format="NCHW", **kept
        )[0]


CHANNELS_FIRST = {  # by the name of the layer's own class, as `custom_objects` are
    "ClipToFrames": ChannelsFirstClipToFrames,
    "DFDC": ChannelsFirstDFDC,
    "FramesToChannels": ChannelsFirstFramesToChannels,
    "MSA": ChannelsFirstMSA,
    "PaddedMaxPool2D": ChannelsFirstPaddedMaxPool2D,
    "QuantPoint": ChannelsFirstQuantPoint,
}
