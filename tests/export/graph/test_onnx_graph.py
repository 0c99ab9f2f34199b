"""What leaves the exporter is clean, and the counts would show it if it were not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from export.conversion.onnx_from_keras import OPSET
from export.graph.onnx_graph import GraphCounts, unused


def test_what_nothing_reads_is_counted(small: Any):
    assert unused(small) == ["pixels"]  # written down there and never read
    assert GraphCounts.of(small) == GraphCounts(23, 0, 1, 1)
    node = onnx.helper.make_node("Relu", ["x"], ["nobody"], name="dead")
    small.graph.node.append(node)
    small.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1), "spare"))
    assert unused(small) == ["dead", "pixels", "spare"]
    assert str(GraphCounts.of(small)) == "24 nodes, 0 Transposes, 1 batch norms, 3 unused"


@pytest.mark.parametrize("name", ["msa_graph", "int8_graph"])
def test_an_exported_graph_has_nothing_to_spare(name: str, request: pytest.FixtureRequest):
    proto = request.getfixturevalue(name)
    assert unused(proto) == []
    assert proto.opset_import[0].version == OPSET
    makers = {name: node for node in proto.graph.node for name in node.output}
    norms = [node for node in proto.graph.node if node.op_type == "BatchNormalization"]
    before = {makers[node.input[0]].op_type for node in norms}
    assert len(norms) == 7 and "Conv" not in before  # the gates of MSA
