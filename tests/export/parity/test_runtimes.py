"""Runtimes as a parity check asks them: what a copy of the graph shows beside its answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from export.parity.runtimes import with_choices, with_margin

PROBABILITY = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[b, 3] x) => (float[b] fake_probability)
<float[3, 1] w = {1, 2, 3}, int64[1] one = {1}>
{ m = MatMul(x, w)
  s = Sigmoid(m)
  fake_probability = Squeeze(s, one) }
"""


def test_the_margin_is_what_goes_into_the_sigmoid(run_onnx: Callable):
    pytest.importorskip("onnxruntime")
    model = onnx.parser.parse_model(PROBABILITY)
    shown = with_margin(model)
    onnx.checker.check_model(shown, full_check=True)
    assert [value.name for value in model.graph.output] == ["fake_probability"]
    x = np.array([[1, 0, 0], [40, 40, 40]], np.float32)
    found = run_onnx(shown, x)
    assert found["margin"].tolist() == [1, 240]
    assert found["fake_probability"][1] == 1  # which says nothing of the 240
    bare = onnx.parser.parse_model(PROBABILITY.replace("Sigmoid", "Relu"))
    assert with_margin(bare) == bare


CHOICE = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[b, 4] x) => (float[b, 2] top)
<int64[1] two = {2}>
{ top, places = TopK(x, two) }
"""


def test_choices_are_the_places_that_are_kept(run_onnx: Callable):
    pytest.importorskip("onnxruntime")
    shown = with_choices(onnx.parser.parse_model(CHOICE))
    x = np.array([[1, 9, 3, 7], [8, 0, 0, 9]], np.float32)
    assert run_onnx(shown, x)["kept/000"].tolist() == [[1, 3], [3, 0]]
