"""Ranges of tensors whose values are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from export.graph.tensor_ranges import BINS, collect_ranges, entropy_cut, percentile_cut
from keras_ddl.edge.errors import UserError

IDENTITY = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[b, n] x) => (float[b, n] y) <float two = {-2.0}> { z = Mul(x, two) y = Relu(z) }
"""


@pytest.fixture
def model() -> Any:
    return onnx.parser.parse_model(IDENTITY)


def test_max_and_moving_average(model: Any):
    clips = np.array([[1, 2], [-4, 3], [0, 0]], np.float32)
    assert collect_ranges(model, clips, ["z", "y"], "max") == {"z": 8.0, "y": 8.0}
    found = collect_ranges(model, clips, ["z", "y"], "moving-average")
    assert found["z"] == pytest.approx(0.9 * (0.9 * 4 + 0.1 * 8) + 0.1 * 0)
    assert found["y"] == pytest.approx(0.9 * (0.9 * 0 + 0.1 * 8))


def test_a_percentile_leaves_outliers_out(model: Any):
    clips = np.full((1, 200_000), 0.5, np.float32)
    clips[0, 0] = 100.0
    assert collect_ranges(model, clips, ["z"], "max")["z"] == pytest.approx(200)
    assert collect_ranges(model, clips, ["z"])["z"] == pytest.approx(1.0, abs=200 / BINS)
    few = collect_ranges(model, clips[:, :50_000], ["z"])  # one in as many is no outlier yet
    assert few["z"] == pytest.approx(200)


def test_entropy_cuts_a_long_thin_tail_and_not_a_flat_one():
    values = np.abs(np.random.default_rng(0).standard_normal(1_000_000))
    counts, _ = np.histogram([*values, 60.0], bins=BINS, range=(0, 60))
    assert 3 < entropy_cut(counts) * 60 / BINS < 12  # sigmas; the single outlier lies at 60
    assert entropy_cut(np.full(BINS, 1000)) == BINS
    assert entropy_cut(np.zeros(BINS)) == BINS


def test_percentile_of_a_histogram():
    assert percentile_cut(np.array([50, 40, 9, 1]), 90) == 2
    assert percentile_cut(np.array([50, 40, 9, 1]), 99) == 3
    assert percentile_cut(np.array([50, 40, 9, 1]), 100) == 4
    assert percentile_cut(np.array([10, 0, 0]), 99) == 1


def test_a_silent_tensor_has_range_0(model: Any):
    for method in ("max", "percentile", "entropy"):
        assert collect_ranges(model, np.zeros((2, 3), np.float32), ["z"], method)["z"] == 0


def test_values_that_are_not_finite_are_named(model: Any):
    with pytest.raises(UserError, match="'z' is not finite"):
        collect_ranges(model, np.array([[np.inf]], np.float32), ["z"])


def test_bad_requests_are_refused(model: Any):
    clips = np.zeros((1, 2), np.float32)
    with pytest.raises(ValueError, match="entropy"):
        collect_ranges(model, clips, ["z"], "mean")
    with pytest.raises(ValueError, match="at least one clip"):
        collect_ranges(model, clips[:0], ["z"])
