"""The two modules of DIL: inconsistency within a snippet, and between snippets.

A snippet is a few consecutive frames; a clip is U snippets of T frames, and the batch axis holds
``B·U·T`` images in that order.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf

LEAST = 8  # squeezed channels


class _Module(keras.layers.Layer):
    """What both share: squeezed channels, and sublayers of structural names."""

    def __init__(self, frames: int, reduction: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if min(frames, reduction) < 1:
            raise ValueError(
                f"{type(self).__name__}: frames and reduction must be at least 1; "
                f"got {frames} and {reduction}"
            )
        self.frames, self.reduction = frames, reduction

    def _sublayer(self, name: str, layer: Any, shape: tuple[int | None, ...]) -> None:
        """Make the weights of a layer under its name, which is that of an attribute too."""
        with tf.name_scope(name):
            layer.build(shape)
        setattr(self, name, layer)

    def _conv(
        self, name: str, kernel: tuple[int, ...], channels: int, filters: int, bias: bool = True
    ) -> None:
        kind = keras.layers.Conv3D if len(kernel) == 3 else keras.layers.Conv2D
        rules = {"padding": "same", "use_bias": bias, "dtype": self.dtype_policy}
        layer = kind(filters, kernel, name=name, **rules)
        self._sublayer(name, layer, (*[None] * (len(kernel) + 1), channels))

    def _depthwise(self, name: str, kernel: tuple[int, int], channels: int) -> None:
        layer = keras.layers.DepthwiseConv2D(
            kernel,
            padding="same",
            use_bias=False,
            depthwise_initializer=delta,
            name=name,
            dtype=self.dtype_policy,
        )
        self._sublayer(name, layer, (None, None, None, channels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frames": self.frames, "reduction": self.reduction}


@keras.utils.register_keras_serializable("keras_ddl")
class IntraSIM(_Module):
    """Weighs half of the channels by how they change from frame to frame of a snippet.

    With I₁ and I₂ the two halves of the channels, and F = I₂ squeezed to c channels::

        D⁺_t  = F_t − DW₃ₓ₃(F_{t+1})      D⁻_t = F_t − DW₃ₓ₃(F_{t−1})      0 where there is none
        Att_H = σ(mean over D⁺, D⁻ of 1×1(conv(D) + D))      conv 3×3 over time and height
        Att_W = σ(mean over D⁺, D⁻ of 1×1(conv(D) + D))      conv 3×3 over time and width
        K     = softmax(FC(ReLU(FC(global average of I₂))))  k taps, of each channel and snippet
        out   = [I₁, K * (Att_H · Att_W · I₂ + I₂)]          * along time, zero padded

    What is not public is our choice: c = ½C/reduction, at least 8; one DW₃ₓ₃ for both directions,
    which starts as the identity so that D starts as the difference of the frames; 3×3 for `conv`;
    2T hidden units for K.

    Args:
        frames: Frames per snippet T.
        reduction: How many channels of I₂ become one.
        taps: Length k of the kernel along time, odd.

    Input shape: ``(batch·frames, height, width, channels)``, an even number of channels, any range.
    Output shape: the same.

    Raises:
        ValueError: taps even or below 1, an odd number of channels, or channels unknown.

    Reference: Gu et al., AAAI 2022, "Intra-Snippet Inconsistency Module".
    """

    def __init__(self, frames: int = 4, reduction: int = 16, taps: int = 3, **kwargs: Any) -> None:
        super().__init__(frames, reduction, **kwargs)
        if taps < 1 or taps % 2 == 0:
            raise ValueError(f"IntraSIM: taps must be odd and at least 1; got {taps}")
        self.taps = taps

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if channels is None or channels % 2:
            raise ValueError(f"IntraSIM: expected an even number of channels; got {channels}")
        self.half = channels // 2
        self.narrow = max(LEAST, self.half // self.reduction)
        self._conv("squeeze", (1, 1), self.half, self.narrow)
        self._depthwise("motion_depthwise", (3, 3), self.narrow)
        self._conv("height_conv", (3, 3, 1), self.narrow, self.narrow)
        self._conv("height_expand", (1, 1, 1), self.narrow, self.half)
        self._conv("width_conv", (3, 1, 3), self.narrow, self.narrow)
        self._conv("width_expand", (1, 1, 1), self.narrow, self.half)
        dense, policy = keras.layers.Dense, self.dtype_policy
        hidden = dense(2 * self.frames, activation="relu", name="kernel_hidden", dtype=policy)
        self._sublayer("kernel_hidden", hidden, (None, self.frames))
        last = dense(self.taps, activation="softmax", name="kernel_taps", dtype=policy)
        self._sublayer("kernel_taps", last, (None, 2 * self.frames))
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        kept, moving = inputs[..., : self.half], inputs[..., self.half :]
        difference = self.difference(moving)
        snippets = _snippets(moving, self.frames)  # (B·U, T, H, W, C/2)
        weighed = snippets + snippets * self.attention(difference)
        mixed = convolved(weighed, self.kernel(snippets))
        height, width = inputs.shape[1:3]
        mixed = tf.reshape(mixed, (-1, height, width, self.half))  # (B·U·T, H, W, C/2)
        return tf.concat([kept, mixed], -1)

    def difference(self, moving: Any) -> Any:
        """Mean of D⁺ and D⁻ ``(B·U, T, H, W, c)`` of frames ``(B·U·T, H, W, C/2)``.

        All that follows, up to the sigmoid, is linear, so that the mean is taken before it.
        """
        squeezed = self.squeeze(moving)
        expected = _snippets(self.motion_depthwise(squeezed), self.frames)
        return both_ways(_snippets(squeezed, self.frames), expected)

    def attention(self, difference: Any) -> Any:
        """Att_H · Att_W ``(B·U, T, H, W, C/2)``, in (0, 1)."""
        height = self.height_expand(self.height_conv(difference) + difference)
        width = self.width_expand(self.width_conv(difference) + difference)
        return tf.sigmoid(height) * tf.sigmoid(width)

    def kernel(self, snippets: Any) -> Any:
        """K ``(B·U, C/2, k)``, of sum 1 over the taps, from ``(B·U, T, H, W, C/2)``."""
        means = tf.transpose(tf.reduce_mean(snippets, (2, 3)), (0, 2, 1))  # (B·U, C/2, T)
        rows = tf.reshape(means, (-1, self.frames))  # (B·U·C/2, T)
        return tf.reshape(self.kernel_taps(self.kernel_hidden(rows)), (-1, self.half, self.taps))

    def macs(self) -> int:
        """Multiply-accumulates per image."""
        positions = self.input_shape[1] * self.input_shape[2]
        channels, narrow = self.half, self.narrow
        attention = 2 * (9 * narrow * narrow + narrow * channels)
        each = channels * narrow + 9 * narrow + attention + self.taps * channels
        return positions * each + channels * 2 * (self.frames + self.taps)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "taps": self.taps}


@keras.utils.register_keras_serializable("keras_ddl")
class InterSIM(_Module):
    """Weighs the channels by how a snippet stands to the one before and the one after it.

    With P the means over height and width, ``(U, T, C)``, and S = P squeezed to c channels::

        F₁  = σ(1×1(BN(3×1(P))))                         3×1 along the snippets, C → c; 1×1 c → C
        E⁺_u = S_u − DW₁ₓ₃(S_{u+1})      E⁻_u = S_u − DW₁ₓ₃(S_{u−1})      0 where there is none
        F₂  = σ(1×1(mean of E⁺, E⁻))                     DW along the frames of a snippet
        out = DW₃ₓ₁(F₁ · F₂ · F + F)                     along the snippets

    Public are F₁, that F₂ comes of differences in both directions, and the last convolution over
    three snippets. The rest is our choice: the differences are made as in `IntraSIM`; the last
    convolution is depthwise. Both depthwise kernels start as the identity, so that pretrained
    features pass unmixed at first.

    Args:
        snippets: Snippets per clip U.
        frames: Frames per snippet T.
        reduction: How many channels become one; at least 8 are left.

    Input shape: ``(batch·snippets·frames, height, width, channels)``, any range.
    Output shape: the same.

    Raises:
        ValueError: snippets below 1, channels unknown.

    Reference: Gu et al., AAAI 2022, "Inter-Snippet Interaction Module".
    """

    def __init__(
        self, snippets: int = 4, frames: int = 4, reduction: int = 16, **kwargs: Any
    ) -> None:
        super().__init__(frames, reduction, **kwargs)
        if snippets < 1:
            raise ValueError(f"InterSIM: snippets must be at least 1; got {snippets}")
        self.snippets = snippets

    def build(self, input_shape: Any) -> None:
        channels = input_shape[-1]
        if channels is None:
            raise ValueError("InterSIM: expected a known number of channels; got None")
        self.channels, self.narrow = channels, max(LEAST, channels // self.reduction)
        self._conv("interaction", (3, 1), channels, self.narrow, bias=False)
        norm = keras.layers.BatchNormalization(name="interaction_bn", dtype=self.dtype_policy)
        self._sublayer("interaction_bn", norm, (None, None, None, self.narrow))
        self._conv("interaction_expand", (1, 1), self.narrow, channels)
        self._conv("squeeze", (1, 1), channels, self.narrow)
        self._depthwise("motion_depthwise", (1, 3), self.narrow)
        self._conv("motion_expand", (1, 1), self.narrow, channels)
        self._depthwise("mix_depthwise", (3, 1), channels)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        channels = inputs.shape[-1]
        means = tf.reduce_mean(inputs, (1, 2))
        means = tf.reshape(means, (-1, self.snippets, self.frames, channels))  # (B, U, T, C)
        gate = self.interactions(means, training) * self.motions(means)
        gate = tf.reshape(gate, (-1, 1, 1, channels))  # (B·U·T, 1, 1, C)
        return self._mixed(inputs + inputs * gate)

    def interactions(self, means: Any, training: bool | None = None) -> Any:
        """F₁ ``(B, U, T, C)``, in (0, 1)."""
        normed = self.interaction_bn(self.interaction(means), training=training)
        return tf.sigmoid(self.interaction_expand(normed))

    def motions(self, means: Any) -> Any:
        """F₂ ``(B, U, T, C)``, in (0, 1)."""
        squeezed = self.squeeze(means)
        difference = both_ways(squeezed, self.motion_depthwise(squeezed))
        return tf.sigmoid(self.motion_expand(difference))

    def _mixed(self, x: Any) -> Any:
        """The convolution along the snippets, of images."""
        _, height, width, channels = x.shape
        # what lies between two snippets, T·H·W positions, is one axis to the convolution
        rows = tf.reshape(x, (-1, self.snippets, self.frames * height * width, channels))
        return tf.reshape(self.mix_depthwise(rows), (-1, height, width, channels))

    def macs(self) -> int:
        """Multiply-accumulates per image."""
        positions = self.input_shape[1] * self.input_shape[2]
        between = 3 * self.channels * self.narrow + self.narrow * self.channels
        motions = 2 * self.channels * self.narrow + 3 * self.narrow
        return positions * 3 * self.channels + between + motions

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "snippets": self.snippets}


def delta(shape: Any, dtype: Any = None, **_: Any) -> Any:
    """A depthwise kernel ``(height, width, channels, 1)`` that changes nothing."""
    height, width, channels, _ = shape
    middle = tf.ones((1, 1, channels, 1), dtype or tf.float32)
    return tf.pad(middle, [[height // 2] * 2, [width // 2] * 2, [0, 0], [0, 0]])


def both_ways(x: Any, expected: Any) -> Any:
    """Mean of ``x_i − expected_{i+1}`` and ``x_i − expected_{i−1}`` along the axis after the batch.

    A difference is 0 where there is no neighbour.
    """
    rest = [[0, 0]] * (len(x.shape) - 2)
    forward = tf.pad(x[:, :-1] - expected[:, 1:], [[0, 0], [0, 1], *rest])
    backward = tf.pad(x[:, 1:] - expected[:, :-1], [[0, 0], [1, 0], *rest])
    return (forward + backward) / 2


def convolved(x: Any, kernel: Any) -> Any:
    """Each channel of each snippet along time with a kernel of its own, zero padded.

    Args:
        x: ``(N, T, H, W, C)``.
        kernel: ``(N, C, k)``, k odd; the middle tap is for the frame itself, the next for the one
            after it.
    """
    frames, taps = x.shape[1], kernel.shape[-1]
    padded = tf.pad(x, [[0, 0], [taps // 2] * 2, [0, 0], [0, 0], [0, 0]])
    terms = [
        padded[:, tap : tap + frames] * kernel[:, None, None, None, :, tap] for tap in range(taps)
    ]
    return tf.add_n(terms)


def _snippets(x: Any, frames: int) -> Any:
    """``(B·U·T, H, W, C)`` → ``(B·U, T, H, W, C)``."""
    return tf.reshape(x, (-1, frames, *x.shape[1:]))
