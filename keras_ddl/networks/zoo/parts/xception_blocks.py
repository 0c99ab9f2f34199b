"""XceptionBlocks: Xception block by block, for networks with two of them that talk on the way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_ddl.framework import keras
from keras_ddl.networks.backbones.applications import application
from keras_ddl.networks.backbones.backbone import scaled

SIZE = 71  # at which `keras.applications` builds the network whose weights are taken over
CONVOLUTIONS = {1: (32, 2), 2: (64, 1)}  # number → channels, stride
# Block → channels of its separable convolutions.
ENTRY = {2: (128, 128), 3: (256, 256), 4: (728, 728)}
MIDDLE = {number: (728, 728, 728) for number in range(5, 13)}
EXIT = {13: (728, 1024), 14: (1536, 2048)}
BLOCKS = {**ENTRY, **MIDDLE, **EXIT}
SHORTCUTS = (2, 3, 4, 13)  # blocks that halve the image
LAST = 14  # ends in ReLU and adds nothing


class XceptionBlocks:
    """Lays the parts of one Xception over tensors.

    Layers are called as in `keras.applications`, with a prefix; those that have no name there are
    ``blockN_shortcut`` and ``blockN_shortcut_bn``. Blocks are numbered as there too: 1 is the two
    convolutions, 2 … 13 are residual, 14 is the end. Papers that start from the PyTorch port number
    the residual ones 1 … 12.

    Args:
        prefix: Before each layer's name.
        width: Factor on channel counts.

    Reference: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", CVPR 2017.
    """

    def __init__(self, prefix: str = "", width: float = 1.0) -> None:
        self.prefix, self.width = prefix, width

    def convolution(
        self, x: Any, number: int, stride: int | None = None, padding: str = "valid"
    ) -> Any:
        """One of block 1's two convolutions with its batch norm and ReLU.

        Args:
            x: Images ``(N, H, W, C)``.
            number: 1 or 2.
            stride: Other than Xception's own, which is 2 in the first.
            padding: Other than Xception's own.
        """
        channels, own = CONVOLUTIONS[number]
        name = f"{self.prefix}block1_conv{number}"
        x = keras.layers.Conv2D(
            scaled(channels, self.width),
            3,
            own if stride is None else stride,
            padding,
            use_bias=False,
            name=name,
        )(x)
        return self._relu(self._norm(x, name), name)

    def blocks(self, x: Any, first: int, last: int) -> Any:
        """The blocks from `first` to `last`, at least 2 and at most 14."""
        for number in range(first, last + 1):
            x = self._block(x, number)
        return x

    def take_over(self, model: Any, cnn: Any) -> None:
        """Copy the weights of an Xception of `keras.applications`, by name.

        A first convolution of more than three channels gets the kernel repeated over each three of
        them and divided by how many threes there are, so that equal images give what one gave.

        Args:
            model: Holds these blocks.
            cnn: The Xception, without top and of the same width.
        """
        unnamed = [f"block{number}_shortcut" for number in SHORTCUTS]
        shortcuts = {
            "Conv2D": iter(unnamed),
            "BatchNormalization": iter([f"{name}_bn" for name in unnamed]),
        }
        for layer in cnn.layers:
            if not layer.weights:
                continue
            named = layer.name.startswith("block")
            name = layer.name if named else next(shortcuts[type(layer).__name__])
            target, values = model.get_layer(self.prefix + name), layer.get_weights()
            if name == "block1_conv1":
                values = [_repeated(values[0], target.input_shape[-1])]
            target.set_weights(values)

    def _block(self, x: Any, number: int) -> Any:
        name = f"{self.prefix}block{number}"
        halves, first = number in SHORTCUTS, x
        for index, channels in enumerate(BLOCKS[number], 1):
            part = f"{name}_sepconv{index}"
            if number < LAST and (number, index) != (2, 1):  # ReLU comes first, but in the end
                x = self._relu(x, part)
            x = keras.layers.SeparableConv2D(
                scaled(channels, self.width), 3, padding="same", use_bias=False, name=part
            )(x)
            x = self._norm(x, part)
            if number == LAST:
                x = self._relu(x, part)
        if number == LAST:
            return x
        if halves:
            shortcut = f"{name}_shortcut"
            x = keras.layers.MaxPooling2D(3, 2, "same", name=f"{name}_pool")(x)
            first = keras.layers.Conv2D(x.shape[-1], 1, 2, "same", use_bias=False, name=shortcut)(
                first
            )
            first = self._norm(first, shortcut)
        return keras.layers.Add(name=f"{name}_add")([x, first])

    def _norm(self, x: Any, name: str) -> Any:
        return keras.layers.BatchNormalization(name=f"{name}_bn")(x)

    def _relu(self, x: Any, name: str) -> Any:
        return keras.layers.Activation("relu", name=f"{name}_act")(x)


def start_streams(model: Any, streams: Sequence[XceptionBlocks], weights: str | None) -> None:
    """Start every stream of a model from one Xception's weights.

    Args:
        model: Holds the streams' blocks.
        streams: Which.
        weights: `imagenet`, or a file of an Xception's weights without top; None leaves all as it
            is.

    Raises:
        ValueError: weights with a width other than 1.
        UserError: the weights cannot be had.
    """
    if weights:
        cnn = application("Xception", SIZE, weights, streams[0].width).cnn
        for stream in streams:
            stream.take_over(model, cnn)


def _repeated(kernel: np.ndarray, channels: int) -> np.ndarray:
    """A kernel ``(3, 3, 3, out)`` for that many channels, a multiple of three."""
    times = channels // 3
    return np.tile(kernel, (1, 1, times, 1)) / times
