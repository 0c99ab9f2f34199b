"""int8 for ONNX Runtime's CPU kernels: the same numbers, on integers."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import numpy_helper

from export.graph.cpu_int8 import cpu_int8, open_results
from export.graph.fold_batch_norm import fold_batch_norm
from export.graph.insert_qdq import insert_qdq
from export.graph.onnx_graph import Graph, unused

RANGES = {"x": 1.0, "r": 20.0, "s": 40.0}
UINT8, INT8 = 2, 3


@pytest.fixture
def rounded(small: Any) -> Any:
    """The small graph as TensorRT wants it; `s`, the residual sum, is quantised for DFDC too."""
    fold_batch_norm(small)
    result = insert_qdq(small, RANGES)
    onnx.checker.check_model(result, full_check=True)
    return result


def optimised(model: Any, folder: Path) -> list[str]:
    """The operators that ONNX Runtime is left with."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


def test_only_results_that_nothing_quantises_need_a_range(rounded: Any):
    # conv → relu → quantised; second → the sum, as a float; project is DFDC's and stays.
    assert open_results(rounded) == ["c"]


def test_the_runtime_computes_on_integers(rounded: Any, tmp_path: Path):
    assert "QLinearConv" not in optimised(rounded, tmp_path)
    kinds = optimised(cpu_int8(rounded, {"c": 20.0}), tmp_path)
    assert kinds.count("QLinearConv") == 2  # conv with its ReLU, and second; project is float
    assert optimised(cpu_int8(rounded, {}), tmp_path).count("QLinearConv") == 1


def test_steps_and_zeros_by_hand(rounded: Any):
    graph = Graph(cpu_int8(rounded, {"c": 25.4}))
    found = {
        node.input[0]: (float(graph.constant(node.input[1])), graph.constant(node.input[2]))
        for node in graph.nodes
        if node.op_type == "QuantizeLinear" and graph.constant(node.input[0]) is None
    }
    # After a ReLU 255 steps from 0 to 20; with both signs 127 on either side of 128.
    wanted = {"x": (1 / 127, 128), "r": (20 / 255, 0), "c": (0.2, 128)}
    for name, (step, zero) in wanted.items():
        assert found[name][0] == pytest.approx(step, rel=1e-6)
        assert found[name][1] == zero and found[name][1].dtype == np.uint8
    weights = [graph.constant(n.input[2]) for n in graph.nodes if n.input[0] in graph.weights]
    assert weights and all(zero.dtype == np.int8 and not zero.any() for zero in weights)


def relu6(model: Any, low: float = 0.0, high: float = 6.0) -> Any:
    """The graph with a Clip in place of its ReLU."""
    result = deepcopy(model)
    limits = [numpy_helper.from_array(np.float32(end), f"end{end:g}") for end in (low, high)]
    result.graph.initializer.extend(limits)
    for node in result.graph.node:
        if node.op_type == "Relu":
            node.op_type = "Clip"
            node.input.extend(limit.name for limit in limits)
    return result


@pytest.mark.parametrize(
    ("low", "high", "range_of_r", "left"),
    [
        (0.0, 6.0, 6.0, 0),  # the quantiser ends where the ReLU6 does
        (0.0, 6.0, 4.5, 0),
        (0.0, 6.0, 7.0, 1),  # it would let pass what is above 6
        (0.5, 6.0, 6.0, 1),  # no ReLU6
    ],
)
def test_a_relu6_is_left_out_where_its_quantiser_cuts_as_well(
    small: Any,
    small_clips: np.ndarray,
    run_onnx: Any,
    tmp_path: Path,
    low: float,
    high: float,
    range_of_r: float,
    left: int,
) -> None:
    fold_batch_norm(small)
    clipped = relu6(small, low, high)
    rounded = insert_qdq(clipped, {**RANGES, "r": range_of_r})
    result = cpu_int8(rounded, {"c": 25.4})
    onnx.checker.check_model(result, full_check=True)
    assert [node.op_type for node in result.graph.node].count("Clip") == left
    if not left:
        assert optimised(result, tmp_path).count("QLinearConv") == 2
    capped = run_onnx(relu6(small, low, min(high, range_of_r)), small_clips)["score"]
    np.testing.assert_allclose(run_onnx(result, small_clips)["score"], capped, atol=0.05)


def test_the_answer_stays_and_the_input_is_left_alone(
    small: Any, rounded: Any, small_clips: np.ndarray, run_onnx: Any
):
    before = rounded.SerializeToString()
    result = cpu_int8(rounded, {"c": 25.4})
    assert rounded.SerializeToString() == before
    assert unused(result) == []
    onnx.checker.check_model(result, full_check=True)
    exact = run_onnx(small, small_clips)["score"]
    found = run_onnx(result, small_clips)["score"]
    np.testing.assert_allclose(found, exact, atol=0.05)
    # A range that cuts the branch off shows.
    cut = run_onnx(cpu_int8(rounded, {"c": 0.01}), small_clips)["score"]
    assert np.abs(cut - exact).max() > np.abs(found - exact).max()


POOLED = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 1, 4, 1] x) => (float[1, 1, 2, 1] y)
<float step = {0.5}, int8 zero = {0}>
{ q = QuantizeLinear(x, step, zero)
  d = DequantizeLinear(q, step, zero)
  y = AveragePool<kernel_shape = [2, 1], strides = [2, 1]>(d) }
"""


def test_average_pooling_reads_floats(run_onnx: Any):
    model = onnx.parser.parse_model(POOLED)
    values = np.array([0.1, 0.2, 3.3, 4.4], np.float32).reshape(1, 1, 4, 1)
    # Of 0, 0, 3.5, 4.5 with steps of a half; as they are they have the means 0.15 and 3.85.
    assert run_onnx(model, values)["y"].ravel() == pytest.approx([0, 4.0])
    result = cpu_int8(model, {})
    assert run_onnx(result, values)["y"].ravel() == pytest.approx([0.15, 3.85])
    assert [node.op_type for node in result.graph.node] == ["AveragePool"]


GATE = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[1, 1, 1, 3] x) => (float[1, 1, 1, 3] y)
<float step = {0.1}, int8 zero = {0}, float[1] three = {3}>
{ q = QuantizeLinear(x, step, zero)
  d = DequantizeLinear(q, step, zero)
  [one] one = Sigmoid(d)
  m = Neg(d)
  mq = QuantizeLinear(m, step, zero)
  md = DequantizeLinear(mq, step, zero)
  [other] other = Sigmoid(md)
  sum = Add(one, other)
  y = Mul(sum, three) }
"""


def test_sigmoids_and_their_sum_are_computed_on_integers(run_onnx: Any, tmp_path: Path):
    model = onnx.parser.parse_model(GATE)
    result = cpu_int8(model, {})
    graph = Graph(result)
    steps = {
        node.input[0]: float(graph.constant(node.input[1])) * 255
        for node in graph.nodes
        if node.op_type == "QuantizeLinear"
    }
    assert (steps["one"], steps["other"]) == pytest.approx((1, 1), rel=1e-6)
    assert steps["sum"] == pytest.approx(2, rel=1e-6)
    kinds = optimised(result, tmp_path)
    assert kinds.count("QLinearSigmoid") == 2 and "QLinearAdd" in kinds
    x = np.array([-1.0, 0.3, 9.0], np.float32).reshape(1, 1, 1, 3)
    # σ(x) + σ(−x) is 1, up to half a step of each and of the sum, times three.
    np.testing.assert_allclose(run_onnx(result, x)["y"], np.full_like(x, 3), atol=3 * 3 / 255)
