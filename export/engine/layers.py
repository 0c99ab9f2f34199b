"""Layer precisions of an engine, as TensorRT's engine inspector tells them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_ddl.edge.errors import CHECK_FAILED, UserError

# Words of the inspector, by version: "Half", "FP16", "Row major linear FP16 format (kLINEAR)".
_WORDS = (
    ("int8", ("int8",)),
    ("fp16", ("half", "fp16", "float16")),
    ("fp32", ("float", "fp32")),
    ("other", ("int32", "int64", "bool", "uint8")),
)


@dataclass(frozen=True)
class EngineLayer:
    """A layer as TensorRT fused it.

    Attributes:
        name: TensorRT's, made of the ONNX nodes' names.
        kind: TensorRT's layer type.
        precision: "int8", "fp16", "fp32" or "other", of what it reads; "" where it is not told.
    """

    name: str
    kind: str
    precision: str


def layers_from_inspector(text: str) -> list[EngineLayer]:
    """Read the JSON of `IEngineInspector.get_engine_information`, of 8.6 to 11.

    Raises:
        ValueError: it is not such JSON, or the engine was built without detailed verbosity.
    """
    found = json.loads(text)
    layers = found.get("Layers") if isinstance(found, dict) else None
    if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
        raise ValueError("expected a list 'Layers' of objects: was the engine built in detail?")
    return [
        EngineLayer(str(layer.get("Name", "")), str(layer.get("LayerType", "")), _precision(layer))
        for layer in layers
    ]


def _precision(layer: dict[str, Any]) -> str:
    """The narrowest type among a layer's inputs, or else its outputs; constants are no inputs."""
    for side in ("Inputs", "Outputs"):
        tensors = [tensor for tensor in layer.get(side) or () if isinstance(tensor, dict)]
        found = {_type(tensor) for tensor in tensors} - {""}
        for precision, _ in _WORDS:
            if precision in found:
                return precision
    return ""


def _type(tensor: dict[str, Any]) -> str:
    keys = ("DataType", "Datatype", "Format/Datatype", "Format")  # 11 has two, before it was one
    text = next((str(tensor[key]) for key in keys if tensor.get(key)), "").lower()
    # "uint8" and "int8x4" hold "int8"; what is longer is looked for first.
    if "uint8" in text:
        return "other"
    return next((name for name, words in _WORDS if any(word in text for word in words)), "")


def summary(layers: Sequence[EngineLayer]) -> str:
    """How many layers have which precision, in one line."""
    counts = Counter(layer.precision or "not told" for layer in layers)
    return ", ".join(f"{count} {name}" for name, count in counts.most_common())


def require_precision(layers: Sequence[EngineLayer], precision: str) -> None:
    """Refuse an engine in which no layer has the precision that was asked for.

    Raises:
        UserError: such an "fp16" engine would be a float32 engine by another name; exit code 4.
    """
    if not any(layer.precision == precision for layer in layers):
        raise UserError(
            f"expected {precision} layers, the engine has {summary(layers) or 'none'}: this "
            f"GPU may not be fast at {precision}; build with --fp32 or --best",
            CHECK_FAILED,
        )
