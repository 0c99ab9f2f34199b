"""Stages have one name in both Kerases, though their layers have two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tensorflow")

from keras_ddl import build_model
from keras_ddl.layers import DFDC
from keras_ddl.networks.backbones.applications import SIZES
from keras_ddl.networks.stage_names import found_name, stage_name

ROOT = Path(__file__).resolve().parents[2]
QUICK = ("MobileNetV3Small",)

# The stages of networks, and where modules stand after those of MobileNetV3 as Keras 2 names them.
FOUND = """
import json, sys
from keras_ddl import extend
from keras_ddl.framework import keras
from keras_ddl.networks.backbones.applications import application
found = {"version": keras.__version__, "stages": {}, "placed": []}
for name in sys.argv[1:]:
    backbone = application(name, 96)
    found["stages"][name] = list(backbone.stages)
    if name == "MobileNetV3Small":
        model = extend(backbone.cnn, ["expanded_conv_2/Add", "Conv/BatchNorm"], ("msa",), 4)
        found["placed"] = [layer.name for layer in model.layers if type(layer).__name__ == "MSA"]
print(json.dumps(found))
"""


def found_in(choice: str, names: tuple[str, ...]) -> dict[str, Any]:
    environment = {**os.environ, "KERAS_DDL_KERAS": choice, "PYTHONPATH": str(ROOT)}
    environment.pop("TF_USE_LEGACY_KERAS", None)
    line = [sys.executable, "-c", FOUND, *names]
    done = subprocess.run(line, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(QUICK, marks=pytest.mark.slow),
        pytest.param(tuple(name for name in SIZES if name not in QUICK), marks=pytest.mark.slow),
    ],
    ids=["quick", "others"],
)
def test_applications_have_the_same_stages_in_both_kerases(names: tuple[str, ...]) -> None:
    pytest.importorskip("keras", "3.0")
    two, three = (found_in(choice, names) for choice in ("tf_keras", "keras"))
    assert (two.pop("version")[:2], three.pop("version")[:2]) == ("2.", "3.")
    assert two == three and two["stages"].keys() == set(names)
    if "MobileNetV3Small" in names:
        by_hand = [f"expanded_conv_{number}_add" for number in (2, 7, 10)]
        assert two["stages"]["MobileNetV3Small"] == by_hand
        assert two["placed"] == ["conv_bn_msa", "expanded_conv_2_add_msa"]
    else:
        assert two["stages"]["ResNet50"][0] == "conv2_block3_add"


@pytest.mark.parametrize(
    ("layer", "stage"),
    [
        ("expanded_conv_2/Add", "expanded_conv_2_add"),  # MobileNetV3, as Keras 3 has them
        ("expanded_conv/depthwise/BatchNorm", "expanded_conv_depthwise_bn"),
        ("expanded_conv/squeeze_excite/AvgPool", "expanded_conv_squeeze_excite_avg_pool"),
        ("Conv/BatchNorm", "conv_bn"),
        ("conv1/relu", "conv1_relu"),  # DenseNet
        ("Conv1_relu", "Conv1_relu"),  # MobileNetV2, the same in both
    ],
)
def test_a_stage_has_the_name_of_keras_3(layer: str, stage: str) -> None:
    assert stage_name(layer) == stage and stage_name(stage) == stage
    assert found_name(stage, ["other", layer]) == layer
    assert found_name(layer, ["other", stage]) == stage


def test_a_name_that_could_be_either_is_none() -> None:
    assert found_name("a/b", ["a_b", "A_b"]) is None
    assert found_name("a_b", ["a_b", "A_b"]) == "a_b"
    assert found_name("c", ["a_b", "A_b"]) is None


def test_build_model_takes_the_name_of_either_keras() -> None:
    """Runs of before have stages as Keras 2 names the layers."""
    stages, head = ["expanded_conv_2/Add"], "expanded_conv_7/Add"
    model = build_model("MobileNetV3Small", ("dfdc",), 4, 64, stages=stages, localise=head)
    placed = [layer.name for layer in model.layers if isinstance(layer, DFDC)]
    assert placed == ["expanded_conv_2_add_dfdc"]
    assert model.get_layer("localise").input.shape[1] == 4  # the head's stage, a sixteenth of 64 px
