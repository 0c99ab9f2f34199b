"""Exported graphs are clean, and one that is wrong in one layer says in which."""

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
from export.conversion.onnx_from_keras import OPSET, onnx_from_keras
from export.graph.onnx_graph import unused
from keras_ddl import build_model

CLIPS = np.random.default_rng(1).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
SPOILT = "block3_sepconv1_pointwise"


@pytest.mark.slow
@pytest.mark.parametrize("modules", [("msa",), ("dfdc",)], ids=str)
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


@pytest.mark.parametrize("name", ["msa_graph", "int8_graph"])
def test_an_exported_graph_has_nothing_to_spare(name: str, request: pytest.FixtureRequest):
    proto = request.getfixturevalue(name)
    assert unused(proto) == []
    assert proto.opset_import[0].version == OPSET
    makers = {name: node for node in proto.graph.node for name in node.output}
    norms = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    before = {makers[node.input[0]].op_type for node in norms}
    assert len(norms) == 3 and "Conv" not in before  # the gates of MSA
