"""Layer types as the inspectors of 8.6, 10.x and 11 write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from export.engine.layers import layers_from_inspector, require_precision, summary
from keras_ddl.edge.errors import UserError


def text(*layers: dict[str, Any]) -> str:
    return json.dumps({"Layers": layers})


def layer(key: str, *kinds: str, side: str = "Inputs") -> dict[str, Any]:
    return {"Name": "a", "LayerType": "b", side: [{"Name": "t", key: kind} for kind in kinds]}


@pytest.mark.parametrize(
    ("entry", "precision"),
    [
        # 8.6 and 10.x: format and type in one text
        (layer("Format/Datatype", "Row major linear FP16 format"), "fp16"),
        (layer("Format/Datatype", "Channel vectorized row major Int8 format"), "int8"),
        (layer("Format/Datatype", "Row major linear FP32"), "fp32"),
        (layer("Format/Datatype", "Half"), "fp16"),
        # 11: two entries
        ({**layer("DataType", "Half")}, "fp16"),
        ({**layer("DataType", "Float")}, "fp32"),
        # the narrowest input decides; a bias or an index does not
        (layer("Format/Datatype", "Int8", "Float"), "int8"),
        (layer("Format/Datatype", "UInt8"), "other"),
        (layer("Format/Datatype", "Int64"), "other"),
        (layer("Format/Datatype", "Half", side="Outputs"), "fp16"),
        ({"Name": "a", "LayerType": "b"}, ""),
    ],
    ids=str,
)
def test_a_layers_precision(entry: dict[str, Any], precision: str):
    (found,) = layers_from_inspector(text(entry))
    assert found.precision == precision


def test_an_engine_without_details_is_refused():
    for bad in ('{"Layers": ["conv"]}', "[]", "{}"):
        with pytest.raises(ValueError, match="in detail"):
            layers_from_inspector(bad)


def test_a_precision_must_be_somewhere():
    layers = layers_from_inspector(text(layer("DataType", "Float"), layer("DataType", "Half")))
    assert summary(layers) == "1 fp32, 1 fp16"
    require_precision(layers, "fp16")
    with pytest.raises(UserError, match="expected int8 layers") as caught:
        require_precision(layers, "int8")
    assert caught.value.exit_code == 4
