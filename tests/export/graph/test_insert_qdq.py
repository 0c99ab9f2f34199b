"""Where Q/DQ pairs stand, what they hold, and what they leave float."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from graph_changes import copy_of

from export.engine.rules import check, target_for
from export.graph.float_islands import head_nodes, projection_nodes, score_nodes
from export.graph.fold_batch_norm import fold_batch_norm
from export.graph.insert_qdq import channel_tops, insert_qdq, quantisable
from export.graph.int8_share import int8_share
from export.graph.mixed_fp16 import mixed_fp16
from export.graph.onnx_graph import Graph
from export.graph.uint8_input import cast_inputs_first


def prepared(model: Any) -> Any:
    cast_inputs_first(model)
    assert fold_batch_norm(model) == 1
    return model


def test_the_cast_comes_first_and_nothing_else_changes(small: Any, small_clips, run_onnx):
    before = run_onnx(small, small_clips)
    assert cast_inputs_first(small) == 1
    onnx.checker.check_model(small, full_check=True)
    assert small.graph.node[0].op_type == "Cast"
    after = run_onnx(small, small_clips)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    assert "uint8" not in [finding.rule for finding in check(small, target_for("8.6"))]
    assert cast_inputs_first(small) == 0


def test_a_batch_norm_becomes_weights(small: Any, small_clips, run_onnx):
    before = run_onnx(small, small_clips)
    assert fold_batch_norm(small) == 1
    assert "BatchNormalization" not in [node.op_type for node in small.graph.node]
    assert not {"w", "gamma"} & {tensor.name for tensor in small.graph.initializer}
    after = run_onnx(small, small_clips)
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-5)


def test_a_convolution_that_others_read_keeps_its_batch_norm(small: Any):
    small.graph.output.append(onnx.helper.make_tensor_value_info("a", 1, ("b", 4, 6, 6)))
    assert fold_batch_norm(small) == 0


def test_scores_head_and_projections_are_found(small: Any):
    graph = Graph(small).infer()
    assert projection_nodes(graph) == {"q"}
    scores = {"q2", "norm2", "safe", "length", "u", "v", "values", "low", "map"}
    assert score_nodes(graph) == scores
    assert head_nodes(graph) - scores == {"f", "h", "z", "score"}


def test_pairs_stand_at_convolutions_and_at_the_skip_branch(small: Any):
    model = prepared(small)
    assert quantisable(model) == ["x", "r"]
    result = insert_qdq(model, {"x": 1.0, "r": 6.35})
    onnx.checker.check_model(result, full_check=True)
    nodes = {node.name: node for node in result.graph.node}
    makers = Graph(result).makers
    for name in ("conv", "second"):
        kinds = [makers[tensor].op_type for tensor in nodes[name].input[:2]]
        assert kinds == ["DequantizeLinear"] * 2
    # The add joins its convolution: that branch stays bare, the skip is quantised, once for both.
    assert makers[nodes["add"].input[1]].name == "second"
    assert nodes["add"].input[0] == nodes["second"].input[0]
    assert makers[nodes["project"].input[0]].name == "add"
    assert makers[nodes["head"].input[0]].name == "flat"
    assert [value.name for value in result.graph.output] == ["score", "map"]


def test_scales_are_symmetric_and_per_output_channel(small: Any):
    model = prepared(small)
    graph = Graph(insert_qdq(model, {"x": 1.0, "r": 6.35}))
    scales = {
        n.input[0]: graph.constant(n.input[1]) for n in graph.nodes if "Quantize" in n.op_type
    }
    assert scales["r"] == pytest.approx(6.35 / 127)
    weights = graph.constant("w2")
    np.testing.assert_allclose(scales["w2"], np.abs(weights).reshape(4, -1).max(1) / 127, rtol=1e-6)
    zeros = [graph.constant(n.input[2]) for n in graph.nodes if "Quantize" in n.op_type]
    assert all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
    for version in ("8.6", "10.3", "11.4"):
        assert check(graph.model, target_for(version)) == []


def test_every_output_channel_has_its_own_largest_weight():
    tops = channel_tops(np.array([[1.0, -2.0], [3.0, 0.0], [0.0, 0.0]], np.float32))
    np.testing.assert_array_equal(tops, [2.0, 3.0, 0.0])


def test_what_has_no_range_stays_float(small: Any):
    model = prepared(small)
    found = int8_share(insert_qdq(model, {"x": 1.0}))
    assert {node.name: node.int8 for node in found.nodes} == {
        "conv": True,
        "second": False,
        "project": False,
        "head": False,
    }
    assert int8_share(insert_qdq(model, {})).share == 0


@pytest.mark.parametrize("bad", [-1.0, np.inf, np.nan])
def test_an_impossible_range_is_refused(small: Any, bad: float):
    with pytest.raises(ValueError, match="finite ranges"):
        insert_qdq(prepared(small), {"x": bad})


def test_the_answer_stays_near_and_clips_where_the_range_ends(small: Any, small_clips, run_onnx):
    model = prepared(small)
    expected = run_onnx(model, small_clips)["score"]
    near = run_onnx(insert_qdq(model, {"x": 1.0, "r": 4.0}), small_clips)["score"]
    cut = run_onnx(insert_qdq(model, {"x": 0.1, "r": 4.0}), small_clips)["score"]
    assert 0 < np.abs(near - expected).max() < 0.002
    assert np.abs(cut - expected).max() > 10 * np.abs(near - expected).max()


@pytest.mark.slow
def test_most_of_the_compact_network_is_int8(whole_graph: Any):
    model = copy_of(whole_graph)
    cast_inputs_first(model)
    assert fold_batch_norm(model) == 0  # the export has done that
    result = insert_qdq(model, dict.fromkeys(quantisable(model), 1.0))
    found = int8_share(result)
    assert found.share >= 0.95
    half = mixed_fp16(model)
    onnx.checker.check_model(half, full_check=True)
    for version in ("8.6", "10.3", "11.4"):
        assert check(model, target_for(version)) == check(half, target_for(version)) == []
    left = [node.name for node in found.nodes if not node.int8]
    islands = ("dfdc", "inconsistency_map", "attention", "logits")
    assert all(any(word in name for word in islands) for name in left)
    for version in ("8.6", "10.3", "11.4"):
        assert check(result, target_for(version)) == []
