"""What a graph holds too much is counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from export.graph.onnx_graph import GraphCounts, unused


def test_what_nothing_reads_is_counted(small: Any):
    assert unused(small) == ["pixels"]  # written down there and never read
    assert GraphCounts.of(small) == GraphCounts(23, 0, 1, 1)
    node = onnx.helper.make_node("Relu", ["x"], ["nobody"], name="dead")
    small.graph.node.append(node)
    small.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1), "spare"))
    assert unused(small) == ["dead", "pixels", "spare"]
    assert str(GraphCounts.of(small)) == "24 nodes, 0 Transposes, 1 batch norms, 3 unused"
