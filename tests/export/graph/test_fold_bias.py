"""Bias folding: the same answers, the addition inside the convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper

from export.graph.fold_bias import fold_bias

CHANNELS = 3


def network(bias: np.ndarray, swapped: bool = False, read_twice: bool = False) -> Any:
    """Conv → Add of a constant → ReLU; with `read_twice` the Conv is an output as well."""
    weights = np.random.default_rng(0).standard_normal((CHANNELS, 2, 3, 3)).astype(np.float32)
    inputs = ["b", "c"] if swapped else ["c", "b"]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Add", inputs, ["s"]),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    shape = ["n", CHANNELS, 4, 4]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    if read_twice:
        outputs.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, shape))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 6, 6])],
        outputs,
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(bias, "b")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def answer(model: Any) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(1).standard_normal((2, 2, 6, 6)).astype(np.float32)
    return np.asarray(session.run(["y"], {"x": x})[0])


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("shape", [(CHANNELS, 1, 1), (1, CHANNELS, 1, 1)])
def test_a_value_a_channel_becomes_the_bias(shape: tuple[int, ...], swapped: bool) -> None:
    bias = np.array([5.0, -2.0, 0.5], np.float32)
    model = network(bias.reshape(shape), swapped)
    before = answer(model)
    assert fold_bias(model) == 1
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv", "Relu"]
    assert len(model.graph.node[0].input) == 3
    np.testing.assert_allclose(answer(model), before, atol=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        network(np.zeros((1, 1, 4, 4), np.float32)),  # a value a place
        network(np.zeros((1, 1, 1, 1), np.float32)),  # one for all channels
        network(np.zeros((CHANNELS, 1, 1), np.float32), read_twice=True),
    ],
    ids=["by place", "for all", "read twice"],
)
def test_what_is_no_bias_stays(model: Any) -> None:
    before = model.SerializeToString()
    assert fold_bias(model) == 0
    assert [node.op_type for node in model.graph.node] == ["Conv", "Add", "Relu"]
    assert answer(onnx.load_from_string(before)).shape == answer(model).shape
