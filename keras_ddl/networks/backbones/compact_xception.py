"""compact_xception: the network that the paper's authors released."""

from __future__ import annotations

from typing import Any

from keras_ddl.edge.commands import typed
from keras_ddl.framework import keras
from keras_ddl.layers import PaddedMaxPool2D
from keras_ddl.layers.batch_norm import batch_norm
from keras_ddl.networks.backbones.backbone import Backbone, require_size, scaled

BLOCKS = (  # channels, separable convolutions, stride
    (128, 2, 2),
    (256, 2, 2),
    (512, 2, 2),
    (512, 3, 1),
    (512, 3, 1),
    (512, 3, 1),
    (512, 3, 2),
)


def build(size: int = 256, weights: str | None = None, width: float = 1.0) -> Backbone:
    """The authors' shortened Xception, frame by frame: ``(N, S, S, 3)`` in [0, 1] → ``(N, S/32,
    S/32, 256)``.

    Two convolutions, seven residual blocks of separable convolutions, two separable convolutions.
    Every padding is PyTorch's. The modules come before each block's first convolution, after its
    ReLU.

    Args:
        size: Frame side in pixels, at least 32.
        weights: None; released weights are loaded through `keras_ddl.import_released`.
        width: Multiplies every channel count, for reduced networks.

    Raises:
        ValueError: weights other than None, size below 32.
    """
    if weights is not None:
        raise ValueError(
            f"compact_xception has no built-in weights; got {weights!r}; "
            f"convert released ones with: {typed('import-released')}"
        )
    require_size("compact_xception", size)
    image = keras.Input((size, size, 3), name="frames")
    x = _conv(image, scaled(32, width), 3, 1, "conv1")
    x = _conv(x, scaled(64, width), 3, 2, "conv2")
    stages = {}
    for number, (channels, depth, stride) in enumerate(BLOCKS, 1):
        name = f"block{number}"
        if number > 1:
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        stages[name] = f"{name}_relu" if number > 1 else "conv2_relu"
        x = _block(x, scaled(channels, width), depth, stride, name)
    x = keras.layers.ReLU(name="features_relu")(x)
    for name, channels in (("conv3", 512), ("conv4", 256)):
        x = keras.layers.ReLU(name=f"{name}_relu")(_separable(x, scaled(channels, width), name))
    return Backbone(keras.Model(image, x, name="compact_xception"), stages)


def _conv(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
    x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(channels, kernel, stride, use_bias=False, name=name)(x)
    return keras.layers.ReLU(name=f"{name}_relu")(batch_norm(name=f"{name}_bn")(x))


def _separable(x: Any, channels: int, name: str, start: str = "ones") -> Any:
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}_depthwise")(x)
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_pointwise")(x)
    return batch_norm(gamma_initializer=start, name=f"{name}_bn")(x)


def _block(x: Any, channels: int, depth: int, stride: int, name: str) -> Any:
    skip = x
    for number in range(1, depth + 1):
        if number > 1:
            x = keras.layers.ReLU(name=f"{name}_relu{number}")(x)
        # The residual starts at zero: a deep stack of random convolutions answers to motion alone.
        start = "zeros" if number == depth else "ones"
        x = _separable(x, channels, f"{name}_sepconv{number}", start)
    if stride > 1:
        x = PaddedMaxPool2D(3, stride, 1, name=f"{name}_pool")(x)
        skip = keras.layers.Conv2D(channels, 1, stride, use_bias=False, name=f"{name}_skip")(skip)
        skip = batch_norm(name=f"{name}_skip_bn")(skip)
    return keras.layers.Add(name=f"{name}_add")([x, skip])
