"""resnet18: the paper's second backbone, in torchvision's layout."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import PaddedMaxPool2D
from keras_ddl.layers.batch_norm import batch_norm
from keras_ddl.networks.backbones.backbone import Backbone, require_size, scaled

CHANNELS = (64, 128, 256, 512)


def build(size: int = 224, weights: str | None = None, width: float = 1.0) -> Backbone:
    """ResNet-18, frame by frame: ``(N, S, S, 3)`` → ``(N, S/32, S/32, 512)``.

    The input is scaled to about zero mean and unit variance with one grey constant (ImageNet's
    channel means differ by less than 0.1). The modules come before each of the four residual
    stages.

    Args:
        size: Frame side in pixels, at least 32.
        weights: None; torchvision's are loaded through `keras_ddl.import_released`.
        width: Multiplies every channel count, for reduced networks.

    Raises:
        ValueError: weights other than None, size below 32.
    """
    if weights is not None:
        raise ValueError(
            f"resnet18 has no built-in weights; got {weights!r}; use keras_ddl.import_released"
        )
    require_size("resnet18", size)
    image = keras.Input((size, size, 3), name="frames")
    x = _conv(image, scaled(CHANNELS[0], width), 7, 2, "conv1")
    x = keras.layers.ReLU(name="conv1_relu")(x)
    x = PaddedMaxPool2D(3, 2, 1, name="pool")(x)
    stages, before = {}, "pool"
    for number, channels in enumerate(CHANNELS, 1):
        stages[f"stage{number}"] = before
        for unit, stride in enumerate((1 if number == 1 else 2, 1)):
            x = _block(x, scaled(channels, width), stride, f"layer{number}_{unit}")
        before = f"layer{number}_1_relu"
    return Backbone(keras.Model(image, x, name="resnet18"), stages, scale=1 / 58, offset=-2.0)


def _conv(x: Any, channels: int, kernel: int, stride: int, name: str, start: str = "ones") -> Any:
    if kernel > 1:
        x = keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)
    x = keras.layers.Conv2D(channels, kernel, stride, use_bias=False, name=name)(x)
    return batch_norm(gamma_initializer=start, name=f"{name}_bn")(x)


def _block(x: Any, channels: int, stride: int, name: str) -> Any:
    skip = x
    x = keras.layers.ReLU(name=f"{name}_relu1")(_conv(x, channels, 3, stride, f"{name}_conv1"))
    x = _conv(x, channels, 3, 1, f"{name}_conv2", start="zeros")  # the residual starts at zero
    if stride > 1:
        skip = _conv(skip, channels, 1, stride, f"{name}_downsample")
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([x, skip]))
