"""ONNX's own evaluator with NumPy operators, by which the tests judge float16, is right itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from onnx.reference import ReferenceEvaluator
from onnx_reference import operators

RANDOM = np.random.default_rng(0)


def single(kind: str, inputs: dict[str, np.ndarray], **attributes: Any) -> Any:
    """A graph of one operator."""
    made = onnx.helper.make_node(kind, list(inputs), ["y"], **attributes)
    values = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(value.dtype), value.shape
        )
        for name, value in inputs.items()
    ]
    kind_out = onnx.helper.np_dtype_to_tensor_dtype(next(iter(inputs.values())).dtype)
    out = [onnx.helper.make_tensor_value_info("y", kind_out, None)]
    graph = onnx.helper.make_graph([made], "g", values, out)
    return onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )


def normal(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


PLACES = np.array([[[0, 3, 6], [1, 1, 5]]])
CASES = {
    "dense": (
        "Conv",
        {"x": normal(2, 3, 6, 5), "w": normal(4, 3, 3, 3), "b": normal(4)},
        {"pads": [1, 0, 1, 2], "strides": [2, 1]},
    ),
    "depthwise": (
        "Conv",
        {"x": normal(1, 4, 5, 5), "w": normal(4, 1, 3, 1)},
        {"group": 4, "pads": [1, 0, 1, 0]},
    ),
    "two groups": ("Conv", {"x": normal(1, 4, 5, 5), "w": normal(6, 2, 2, 2)}, {"group": 2}),
    "dilated": ("Conv", {"x": normal(1, 2, 7, 7), "w": normal(2, 2, 3, 3)}, {"dilations": [2, 1]}),
    "largest": (
        "MaxPool",
        {"x": normal(1, 2, 6, 6) - 9},
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]},
    ),
    "mean": ("AveragePool", {"x": normal(1, 2, 6, 3)}, {"kernel_shape": [2, 1], "strides": [2, 1]}),
    "gather": ("GatherElements", {"x": normal(1, 2, 8), "i": PLACES}, {"axis": 2}),
    "scatter": (
        "ScatterElements",
        {"x": normal(1, 2, 8), "i": np.array([[[0, 3, 6], [1, 2, 5]]]), "u": normal(1, 2, 3)},
        {"axis": 2},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_operators_do_what_onnx_does(case: str):
    kind, inputs, attributes = CASES[case]
    model = single(kind, inputs, **attributes)
    found = ReferenceEvaluator(model, new_ops=operators()).run(None, inputs)[0]
    wanted = ReferenceEvaluator(model).run(None, inputs)[0]
    assert found.dtype == wanted.dtype and found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_nearest_resizing_repeats():
    x = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    inputs = {"x": x, "roi": np.empty(0, np.float32), "scales": np.array([1, 1, 2, 1], np.float32)}
    model = single("Resize", inputs, nearest_mode="floor", **how)
    found = ReferenceEvaluator(model, new_ops=operators()).run(None, inputs)[0]
    assert found.tolist() == [[[[0, 1, 2], [0, 1, 2], [3, 4, 5], [3, 4, 5]]]]
    with pytest.raises(ValueError, match="received Resize other than"):
        other = single("Resize", inputs, nearest_mode="ceil", **how)
        ReferenceEvaluator(other, new_ops=operators()).run(None, inputs)


def test_more_choices_than_onnx_takes():
    inputs = {"x": normal(1, 200), "i": RANDOM.integers(0, 200, (1, 3))}
    model = single("GatherElements", inputs, axis=1)
    found = ReferenceEvaluator(model, new_ops=operators()).run(None, inputs)[0]
    assert found.tolist() == [[inputs["x"][0, place] for place in inputs["i"][0]]]


def test_float16_overflows_rounds_and_sums_in_float32():
    half = np.float16
    loud = {"x": np.full((1, 2, 1, 1), 300, half), "w": np.full((1, 2, 1, 1), 200, half)}
    with np.errstate(over="ignore"):
        (found,) = ReferenceEvaluator(single("Conv", loud), new_ops=operators()).run(None, loud)
    assert found.dtype == half and np.isinf(found).all()  # 120000
    # 4096 ones: a float16 sum would stop at 2048, where 1 is half a step.
    many = {"x": np.ones((1, 4096, 1, 1), half), "w": np.ones((1, 4096, 1, 1), half)}
    (found,) = ReferenceEvaluator(single("Conv", many), new_ops=operators()).run(None, many)
    assert found.ravel().tolist() == [4096]
