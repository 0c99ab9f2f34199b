"""application: a CNN of `keras.applications`, as it is or with fewer channels."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.framework import keras
from keras_ddl.networks.backbones.backbone import Backbone, require_size, scaled
from keras_ddl.networks.extend import apply_extended
from keras_ddl.networks.stage_names import stage_name

# Smallest size in pixels.
SIZES = {
    "Xception": 71,
    "InceptionV3": 75,
    "DenseNet121": 32,
    "ResNet50": 32,
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "MobileNetV3Large": 32,
    "EfficientNetB0": 32,
    "EfficientNetB1": 32,
    "EfficientNetB4": 32,
}
# What turns raw values 0…255, RGB, into what the ImageNet weights expect: scale and offset.
# ResNet50 was trained on BGR: its first kernel is turned round.
SYMMETRIC = (1 / 127.5, -1.0)
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STANDARD = (
    [1 / 255 / deviation for deviation in DEVIATION],
    [-mean / deviation for mean, deviation in zip(MEAN, DEVIATION, strict=True)],
)
SCALINGS: dict[str, tuple[Any, Any]] = {
    **dict.fromkeys(("Xception", "InceptionV3", "MobileNet", "MobileNetV2"), SYMMETRIC),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large"), SYMMETRIC),
    "DenseNet121": STANDARD,
    "ResNet50": (1.0, [-123.68, -116.779, -103.939]),
    **dict.fromkeys(("EfficientNetB0", "EfficientNetB1", "EfficientNetB4"), STANDARD),
}
# The first layer after what a network scales by itself. That part is replaced: EfficientNet has one
# step more with `imagenet` than without, and one that forgets its weights when it is copied, so
# that a trained network would be rebuilt as another.
AFTER_OWN_SCALING = dict.fromkeys(
    ("EfficientNetB0", "EfficientNetB1", "EfficientNetB4"), "stem_conv_pad"
)
NO_OWN_SCALING = {"MobileNetV3Small", "MobileNetV3Large"}
COUNTS = ("filters", "units")


def application(name: str, size: int, weights: str | None = None, width: float = 1.0) -> Backbone:
    """Return the CNN without its top; it takes raw values and scales them itself.

    Its stages are the last residual sum of each resolution, by the layer's name, which is the same
    in both Kerases (`stage_names`).

    Args:
        name: A key of `SIZES`.
        size: Side of the frames in pixels.
        weights: None, `imagenet`, or a `.h5` file of the network's weights without top.
        width: Multiplies channel counts; only 1 with weights.

    Raises:
        ValueError: size too small; weights with a width other than 1.
        UserError: the weights cannot be had.
    """
    require_size(name, size, SIZES[name])
    if weights and width != 1:
        raise ValueError(f"weights {weights} are for width 1; got {width}; set weights= to nothing")
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise UserError(f"no weights file {weights}; expected imagenet or the path of a file")
    try:
        make = getattr(keras.applications, name)
        more = {"include_preprocessing": False} if name in NO_OWN_SCALING else {}
        cnn = make(include_top=False, weights=weights, input_shape=(size, size, 3), **more)
    except Exception as error:  # Keras raises a plain Exception where a download fails
        cause = str(error).splitlines()[0]
        raise UserError(
            f"weights {weights!r} of {name} could not be loaded: {cause}; "
            "start from nothing with: --set weights=",
            MISSING,
        ) from error
    if name == "ResNet50" and weights:
        first = cnn.get_layer("conv1_conv")
        kernel, bias = first.get_weights()
        first.set_weights([kernel[:, :, ::-1], bias])
    cnn = _scaling(slimmed(cnn, width) if width != 1 else cnn, name)
    return Backbone(cnn, _stages(cnn), scale=1.0)


def _stages(cnn: Any) -> dict[str, str]:
    """The last residual sum of each resolution below a quarter of the input's."""
    sums = [layer for layer in cnn.layers if isinstance(layer, keras.layers.Add)]
    last = {layer.output.shape[1]: layer.name for layer in sums}
    small = [name for rows, name in last.items() if 4 * rows <= cnn.input_shape[1]]
    return {stage_name(name): name for name in small}


def _scaling(cnn: Any, name: str) -> Any:
    """The network behind a layer that scales its input, in place of any of its own."""
    if name in AFTER_OWN_SCALING:
        cnn = keras.Model(cnn.get_layer(AFTER_OWN_SCALING[name]).input, cnn.output, name=cnn.name)
    scale, offset = SCALINGS[name]
    image = keras.Input(cnn.input_shape[1:], name="frames")
    x = keras.layers.Rescaling(scale, offset, name="rescaling")(image)
    return keras.Model(image, apply_extended(cnn, x, {}, lambda x, _: x), name=cnn.name)


def slimmed(cnn: Any, width: float) -> Any:
    """The same network with every count of channels multiplied by `width`, newly initialised."""
    config = copy.deepcopy(cnn.get_config())
    for entry in config["layers"]:
        entry.pop("build_config", None)
        settings = entry["config"]
        for key in COUNTS:
            if settings.get(key):
                settings[key] = scaled(settings[key], width)
        if entry["class_name"] == "Reshape" and len(settings["target_shape"]) == 3:
            *sides, channels = settings["target_shape"]
            settings["target_shape"] = (*sides, scaled(channels, width))
    return keras.Model.from_config(config)
