"""An exported graph that is wrong in one layer says in which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")

from graph_changes import spoil

from export.conversion.keras_divergence import find_keras_divergence
from export.to_onnx import onnx_from_keras
from keras_ddl import build_model

CLIPS = np.random.default_rng(1).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
SPOILT = "block3_sepconv1_pointwise"


@pytest.mark.parametrize(
    "modules", [("msa",), pytest.param(("dfdc",), marks=pytest.mark.slow)], ids=str
)
def test_layers_are_matched_and_the_wrong_one_is_named(
    msa_network: Any, msa_graph: Any, randomise: Callable[..., None], modules: tuple[str, ...]
):
    network, graph = msa_network, msa_graph
    if "dfdc" in modules:
        network = build_model("compact_xception", modules, frames=4, size=32, width=0.25)
        randomise(network)
        graph = onnx_from_keras(network)
    sound = find_keras_divergence(network, graph, CLIPS[0], 1e-4)
    assert sound.first is None  # a tensor taken for another layer's would be far off
    assert sound.compared > 0.7 * len(network.layers)  # a convolution has its batch norm's
    wrong = find_keras_divergence(network, spoil(graph, SPOILT), CLIPS[0], 1e-3)
    assert wrong.first is not None and wrong.first.layer == SPOILT


def test_a_rounded_network_is_compared_with_its_own(int8_network: Any, int8_graph: Any):
    sound = find_keras_divergence(int8_network, int8_graph, CLIPS[0], 0.2)
    assert sound.first is None and sound.compared > 0.5 * len(int8_network.layers)
    wrong = find_keras_divergence(int8_network, spoil(int8_graph, SPOILT), CLIPS[0], 0.2)
    assert wrong.first is not None and wrong.first.layer.startswith("block3_sepconv1")
