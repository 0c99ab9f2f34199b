"""Float16 made explicit: ONNX's own evaluator, in which float16 is NumPy's, is the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_reference import ReferenceRuntime

from export.graph.mixed_fp16 import mixed_fp16
from export.graph.onnx_graph import with_outputs
from export.graph.rounded_float16 import rounded_float16
from export.graph.tensor_ranges import open_exactly
from export.parity.divergence import fetch


def run(proto: Any, names: list[str], **feed: np.ndarray) -> list[np.ndarray]:
    session = open_exactly(rounded_float16(with_outputs(proto, names)))
    found: list[np.ndarray] = session.run(names, feed)
    return found


def test_every_tensor_of_a_graph_is_the_evaluators(small: Any, small_clips: np.ndarray):
    half = mixed_fp16(small)
    names = [name for node in half.graph.node for name in node.output]
    found = run(half, names, clip=small_clips[:1])
    wanted = ReferenceRuntime(with_outputs(half, names)).infer({"clip": small_clips[:1]})
    halves = 0
    for name, value in zip(names, found, strict=True):
        if wanted[name].dtype == np.float16:
            halves += 1
            assert value.dtype == np.float32
            assert np.array_equal(value, value.astype(np.float16).astype(np.float32))
        # Sums are made in another order: a unit in float16's last place, of the largest value.
        top = float(np.abs(wanted[name].astype(np.float64)).max())
        np.testing.assert_allclose(value, wanted[name].astype(np.float64), atol=2e-3 * top)
    assert halves > 5
    inside = dict(fetch(half, ["a"], small_clips[0], in_float16=True))
    assert np.array_equal(inside["a"], found[names.index("a")])


# Constants are written as float16's bits: 200 and 0.001; 0.5 and 0.1.
OVERFLOW = """
<ir_version: 9, opset_import: ["" : 19]>
g (float[b, 2] x) => (float[b, 1] y)
<float16[2, 1] w = {23104, 23104}, float16[1, 1] small = {5145}>
{ h = Cast<to: int = 10>(x)
  sum = MatMul(h, w)
  back = Mul(sum, small)
  y = Cast<to: int = 1>(back) }
"""


def test_an_overflow_between_two_nodes_shows():
    model = onnx.parser.parse_model(OVERFLOW)
    x = np.array([[300, 300], [100, 100]], np.float32)
    total, y = run(model, ["sum", "y"], x=x)
    assert np.isinf(total[0]) and np.isinf(y[0])  # 120,000 is beyond float16, and back is not 120
    assert total[1] == 40000 and y[1] == pytest.approx(40, rel=1e-3)


ROUNDED = """
<ir_version: 9, opset_import: ["" : 19]>
g (float[b] x) => (float16[b] y, float16[b] z, int64[d, n] places)
<float16 scale = {14336}, int8 zero = {0}>
{ h = Cast<to: int = 10>(x)
  q = QuantizeLinear(h, scale, zero)
  y = DequantizeLinear(q, scale, zero)
  c = Constant<value: tensor = float16[1] {11878}>()
  z = Add(h, c)
  places = NonZero(h) }
"""


def test_constants_outputs_and_quantisers_are_widened():
    model = onnx.parser.parse_model(ROUNDED)
    shown = rounded_float16(model)
    onnx.checker.check_model(shown, full_check=True)
    assert [value.type.tensor_type.elem_type for value in shown.graph.output] == [1, 1, 7]
    y, z = run(model, ["y", "z"], x=np.array([0.74, 1000.0], np.float32))
    assert y.tolist() == [0.5, 63.5]  # 127 steps at most
    assert z.tolist() == [np.float16(np.float16(0.74) + np.float16(0.1)), 1000.0]


def test_a_graph_without_float16_is_only_copied(small: Any):
    again = rounded_float16(small)
    assert list(again.graph.node) == list(small.graph.node)
    assert list(again.graph.initializer) == list(small.graph.initializer)
