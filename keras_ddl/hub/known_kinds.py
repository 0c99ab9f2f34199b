"""Kinds of layers, operations and their parts that a network's description may name, no others.

Keras imports what a description names, from any module, and calls it; layers that hold code or read
files of their own are among Keras' too. So a description is looked through before Keras gets it.
"""

from __future__ import annotations

from typing import Any

_SIZED = ("Conv1D", "Conv2D", "Conv3D", "AveragePooling2D", "MaxPooling2D", "UpSampling2D")
_LAYERS = (
    *("InputLayer", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot"),
    *_SIZED,
    *("Conv2DTranspose", "DepthwiseConv2D", "SeparableConv2D", "AveragePooling3D", "MaxPooling3D"),
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D"),
    *("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D"),
    *("ZeroPadding2D", "Cropping2D", "CenterCrop", "Resizing", "Rescaling"),
    *("BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization"),
    *("Normalization", "Dense", "Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise"),
    *("Flatten", "Reshape", "Permute", "RepeatVector", "Identity"),
    *("LSTM", "GRU", "Bidirectional", "TimeDistributed", "MultiHeadAttention", "Attention"),
)
_INITIALIZERS = (
    *("Zeros", "Ones", "Constant", "Identity", "IdentityInitializer", "Orthogonal"),
    *("OrthogonalInitializer", "RandomNormal", "RandomUniform", "TruncatedNormal"),
    *("VarianceScaling", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform"),
    *("LecunNormal", "LecunUniform"),
)
_OPERATIONS = (
    *("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Negative", "Absolute", "Power"),
    *("Square", "Sqrt", "Exp", "Log", "Maximum", "Minimum", "Clip", "Mean", "Sum", "Max", "Min"),
    *("GetItem", "Concatenate", "Reshape", "Transpose"),
)
_ACTIVATIONS = ("Relu", "Relu6", "Sigmoid", "HardSigmoid", "Silu", "HardSilu", "Gelu", "Softmax")
_TENSORFLOW = "tf_keras.src.layers.core.tf_op_layer"
_KINDS: dict[str | None, tuple[str, ...]] = {  # as both Kerases name modules
    None: ("__keras_tensor__", "__slice__", "__ellipsis__"),
    "keras": ("Sequential", "DTypePolicy"),
    "keras.layers": _LAYERS,
    "keras.initializers": _INITIALIZERS,
    "keras.regularizers": ("L1", "L2", "L1L2", "OrthogonalRegularizer"),
    "keras.constraints": ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"),
    "keras.mixed_precision": ("Policy",),
    "keras.src.applications.convnext": ("LayerScale", "StochasticDepth"),
    "keras.src.models.functional": ("Functional",),
    "keras.src.ops.nn": _ACTIVATIONS,
    "keras.src.ops.numpy": _OPERATIONS,
    "tf_keras.src.applications.convnext": ("LayerScale", "StochasticDepth"),
    "tf_keras.src.engine.functional": ("Functional",),
    _TENSORFLOW: ("TFOpLambda", "SlicingOpLambda"),
}
_FUNCTIONS = (  # TensorFlow's, which Keras 2 looks up by name among all, those that write files too
    *("__operators__.add", "__operators__.getitem", "math.add", "math.subtract", "math.multiply"),
    *("math.divide", "math.truediv", "math.negative", "math.abs", "math.square", "math.sqrt"),
    *("math.exp", "math.log", "math.pow", "math.maximum", "math.minimum", "math.sigmoid"),
    *("math.reduce_mean", "math.reduce_sum", "math.reduce_max", "math.reduce_min"),
    *("nn.relu", "nn.relu6", "nn.sigmoid", "nn.silu", "nn.softmax", "nn.gelu"),
    *("clip_by_value", "concat", "reshape", "transpose"),
)
_OF_TRAINING = "compile_config"
_SHAPES = ("batch_input_shape", "batch_shape")  # of inputs, in Keras 2 and 3
LARGEST_SIDE = 4096


def known(description: Any, layer: str = "") -> Any:
    """The same description, without what is for training alone; nothing is looked up or made.

    Args:
        description: Of a network, a layer or a part of one, as JSON has it.
        layer: Name of the layer that it is a part of.

    Raises:
        ValueError: It names another kind than those here; the message says in which layer.
    """
    if isinstance(description, (list, tuple)):
        return [known(part, layer) for part in description]
    if not isinstance(description, dict):
        return description
    if "class_name" in description:
        config = description.get("config")
        layer = str(config.get("name", layer)) if isinstance(config, dict) else layer
        _require_known(description, config, layer)
    for key, value in description.items():
        if key.endswith("activation") and isinstance(value, str):
            _require_activation(value, layer)
        if key in _SHAPES and isinstance(value, list) and any(map(_is_large, value)):
            raise ValueError(f"layer {layer} takes more than {LARGEST_SIDE} along one axis")
    return {key: known(part, layer) for key, part in description.items() if key != _OF_TRAINING}


def _require_known(part: dict[str, Any], config: Any, layer: str) -> None:
    from keras_ddl.layers import CUSTOM_OBJECTS

    kind, module, registered = (
        part.get(key) for key in ("class_name", "module", "registered_name")
    )
    if not all(isinstance(name, (str, type(None))) for name in (kind, module, registered)):
        raise _unknown(kind, layer)
    if kind in CUSTOM_OBJECTS:
        if (module, registered) == (CUSTOM_OBJECTS[kind].__module__, f"keras_ddl>{kind}"):
            return
    elif kind in _KINDS.get(module, ()) and registered in (None, kind):
        function = config.get("function") if isinstance(config, dict) else None
        if module == _TENSORFLOW and function not in _FUNCTIONS:
            raise _unknown(function, layer)
        return
    raise _unknown(kind, layer)


def _require_activation(name: str, layer: str) -> None:
    from keras_ddl.framework import keras

    try:
        keras.activations.get(name)
    except (ValueError, TypeError):
        raise _unknown(name, layer) from None
    if name in keras.utils.get_custom_objects():  # the user's own, which another has not
        raise _unknown(name, layer)


def _is_large(side: Any) -> bool:
    return isinstance(side, (int, float)) and side > LARGEST_SIDE


def _unknown(kind: Any, layer: str) -> ValueError:
    return ValueError(
        f"layer {layer} is or holds {str(kind)[:100]}; expected what Keras and keras_ddl have of "
        "their own, and that holds no code"
    )
