"""float16 where it fits, judged by an evaluator that really computes in float16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator

from export.engine.rules import check, target_for
from export.graph.fold_batch_norm import fold_batch_norm
from export.graph.insert_qdq import insert_qdq
from export.graph.int8_share import int8_share
from export.graph.mixed_fp16 import float_tensors, mixed_fp16
from export.graph.onnx_graph import Graph
from export.graph.tensor_ranges import collect_ranges
from export.graph.uint8_input import cast_inputs_first

HALF, FLOAT = 10, 1
# 300 · 300 = 90000 does not exist in float16, its root does.
OVERFLOW = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[b, 4] x) => (float[b, 4] y)
{ [double] d = Add(x, x) [square] s = Mul(d, d) [root] y = Sqrt(s) }
"""
INSIDE_AND_OUT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[b, 4] x) => (float[b, 4] y, float[b, 4] z)
{ [first] y = Relu(x) [second] w = Neg(y) [third] z = Exp(w) }
"""


def kinds(model: Any) -> dict[str, int]:
    """Node → type of its first output."""
    graph = Graph(model).infer()
    return {node.name: graph.dtype(node.output[0]) for node in graph.nodes}


def reference(model: Any, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(model).run(None, feed)


def as_small(model: Any) -> Any:
    cast_inputs_first(model)
    fold_batch_norm(model)
    return model


def test_a_planted_overflow_is_kept_float_by_its_measured_range():
    pytest.importorskip("onnxruntime")
    model = onnx.parser.parse_model(OVERFLOW)
    # No structure tells: the head is everything up to a convolution. So put one before the output.
    model.graph.node[2].output[0] = "t"
    model.graph.node.append(onnx.helper.make_node("GlobalAveragePool", ["t4"], ["y4"], name="pool"))
    model.graph.node.insert(3, onnx.helper.make_node("Unsqueeze", ["t", "two"], ["t4"], name="up"))
    model.graph.node.append(onnx.helper.make_node("Squeeze", ["y4", "two"], ["y"], name="down"))
    two = onnx.numpy_helper.from_array(np.array([2, 3]), "two")
    model.graph.initializer.append(two)
    onnx.checker.check_model(model, full_check=True)
    clips = np.full((1, 4), 150, np.float32)
    blind = mixed_fp16(model)
    assert kinds(blind)["square"] == HALF
    assert np.isinf(reference(blind, {"x": clips})[0]).all()
    ranges = collect_ranges(model, clips, float_tensors(model), "max")
    assert ranges["s"] == 90_000
    aware = mixed_fp16(model, ranges)
    assert (kinds(aware)["square"], kinds(aware)["double"]) == (FLOAT, HALF)
    np.testing.assert_allclose(reference(aware, {"x": clips})[0], 300, rtol=1e-3)


def test_scores_and_head_stay_float_and_the_rest_is_half(small: Any, small_clips):
    model = as_small(small)
    result = mixed_fp16(model)
    onnx.checker.check_model(result, full_check=True)
    found = kinds(result)
    assert {found[name] for name in ("scale", "conv", "relu", "second", "add", "project")} == {HALF}
    islands = ("square", "sum", "floor", "root", "unit", "variance", "map", "head", "sigmoid")
    assert {found[name] for name in islands} == {FLOAT}
    expected = reference(model, {"clip": small_clips})
    for got, want in zip(reference(result, {"clip": small_clips}), expected, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, atol=5e-3)
    assert not np.array_equal(reference(result, {"clip": small_clips})[0], expected[0])
    for version in ("8.6", "10.3", "10.13", "11.4"):
        assert check(result, target_for(version)) == []


def test_the_interface_keeps_its_types_and_names(small: Any):
    before = as_small(small)
    after = mixed_fp16(before)
    for old, new in zip(
        (*before.graph.input, *before.graph.output),
        (*after.graph.input, *after.graph.output),
        strict=True,
    ):
        assert old == new


def test_an_output_that_is_read_inside_too_keeps_its_type():
    pytest.importorskip("onnxruntime")
    model = onnx.parser.parse_model(INSIDE_AND_OUT)
    feed = {"x": np.linspace(-1, 1, 4, dtype=np.float32)[None]}
    import export.graph.mixed_fp16 as module

    # Both outputs are head here; without that rule the first is made, and read, in float16.
    original, module.float_islands = module.float_islands, lambda proto: {"z"}
    try:
        result = mixed_fp16(model)
    finally:
        module.float_islands = original
    onnx.checker.check_model(result, full_check=True)
    assert kinds(result)["second"] == HALF
    for got, want in zip(reference(result, feed), reference(model, feed), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, atol=2e-3)


def test_constants_that_float16_would_lose_keep_their_node_float(small: Any):
    model = as_small(small)
    for tensor in model.graph.initializer:
        if tensor.name == "b2":
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.full(4, 1e-9, np.float32), "b2"))
    assert kinds(mixed_fp16(model))["second"] == FLOAT


def test_quantised_and_half_go_together_from_opset_19(small: Any, small_19: Any, small_clips):
    with pytest.raises(ValueError, match="opset 19, received 17"):
        mixed_fp16(insert_qdq(as_small(small), {"x": 1.0, "r": 8.0}))
    model = as_small(small_19)
    result = mixed_fp16(insert_qdq(model, {"x": 1.0, "r": 8.0}))
    onnx.checker.check_model(result, full_check=True)
    graph = Graph(result).infer()
    scales = [graph.dtype(n.input[1]) for n in graph.nodes if n.op_type == "DequantizeLinear"]
    assert scales == [HALF] * 4
    assert int8_share(result).share == int8_share(insert_qdq(model, {"x": 1.0, "r": 8.0})).share
    assert check(result, target_for("11.4")) == []
    expected = reference(model, {"clip": small_clips})[0]
    np.testing.assert_allclose(reference(result, {"clip": small_clips})[0], expected, atol=0.02)


def test_control_flow_is_refused():
    body = onnx.helper.make_graph([], "b", [], [])
    node = onnx.helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body)
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("c", 9, ())],
        [onnx.helper.make_tensor_value_info("y", 1, ())],
    )
    with pytest.raises(ValueError, match="control flow, 'if'"):
        mixed_fp16(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]))
