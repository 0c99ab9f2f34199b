"""A planted error is found in the layer that it was planted in."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from graph_changes import copy_of

from export import to_trt
from export.engine import checked_graph
from export.engine import prepare as preparation
from export.graph.insert_qdq import insert_qdq
from export.graph.mixed_fp16 import mixed_fp16
from export.parity.divergence import find_divergence, matching, relative_error
from keras_ddl.edge.bundle import write_sums

RANGES = {"x": 1.0, "r": 20.0}


def scale_weight(model: Any, name: str, factor: float, places: Any = slice(None)) -> Any:
    """The same graph with a weight, or some of its numbers, multiplied."""
    result = copy_of(model)
    tensor = next(t for t in result.graph.initializer if t.name == name)
    values = onnx.numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[places] *= np.asarray(factor, values.dtype)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))
    return result


def test_equal_graphs_agree(small: Any, small_clips: np.ndarray):
    found = find_divergence(small, copy_of(small), small_clips[0], 0.0)
    assert found.first is None and found.jump is None
    # Every float tensor but those of the scores, which end where the map does.
    assert " ".join(matching(small, small)) == "whole x a n r c s q p f h z score"
    assert found.compared == 13


@pytest.mark.parametrize(
    ("weight", "layer"), [("w", "conv"), ("mean", "norm"), ("w2", "second"), ("wh", "head")]
)
def test_one_wrong_number_names_its_layer(
    small: Any, small_clips: np.ndarray, weight: str, layer: str
):
    found = find_divergence(small, scale_weight(small, weight, -3, 0), small_clips[0], 1e-4)
    assert found.first is not None and found.jump is not None
    assert found.first.layer == found.jump.layer == layer
    assert f"first beyond 0.0001 of its largest value: layer '{layer}'" in str(found)


def test_rounding_stays_below_the_bound_and_an_error_in_it_does_not(
    small: Any, small_clips: np.ndarray
):
    half = mixed_fp16(small)
    sound = find_divergence(small, half, small_clips[0], 2e-2)
    assert sound.first is None and sound.jump is not None  # rounded, yet not wrong
    wrong = find_divergence(small, scale_weight(half, "w2/float16", -3, 0), small_clips[0], 2e-2)
    assert wrong.first is not None and wrong.first.layer == "second"


def test_a_planted_float16_overflow_is_named(small: Any, small_clips: np.ndarray):
    loud = scale_weight(scale_weight(small, "w2", 2e4), "wh", 1e-4)  # c and s pass 65504
    found = find_divergence(loud, mixed_fp16(loud), small_clips[0], 2e-2)
    assert found.first is not None
    assert (found.first.layer, found.first.error) == ("second", np.inf)
    kept = find_divergence(loud, mixed_fp16(loud, {"c": 1e6, "s": 1e6}), small_clips[0], 2e-2)
    assert kept.first is None or np.isfinite(kept.first.error)


def test_a_range_too_small_names_the_tensor_that_it_cuts(small: Any, small_clips: np.ndarray):
    sound = insert_qdq(small, RANGES)
    assert matching(small, sound)["r/dequantised"] == "r"
    assert find_divergence(small, sound, small_clips[0], 0.2).first is None
    cut = find_divergence(small, insert_qdq(small, {**RANGES, "r": 0.01}), small_clips[0], 0.2)
    assert cut.first is not None and (cut.first.layer, cut.first.node) == ("relu", "r/dequantised")
    assert cut.jump is not None and cut.jump.node == "r/dequantised"


@pytest.mark.parametrize(
    ("wanted", "found", "error"),
    [
        ([4.0, -8.0], [4.0, -6.0], 0.25),  # 2 of 8
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.0, 0.0], [0.0, 1e-9], np.inf),  # of nothing
        ([1.0, 2.0], [1.0, np.nan], np.inf),
        ([1.0, 2.0], [1.0], np.inf),  # another shape
        ([], [], 0.0),
    ],
)
def test_the_error_by_hand(wanted: list[float], found: list[float], error: float):
    assert relative_error(np.array(wanted), np.array(found)) == error


def test_the_gate_names_the_layer_and_keeps_the_earlier_graph(
    tiny_bundle: Path, tiny_clips: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
):
    command = ["--fp32", "--target", "trt", "--calibration", str(tiny_clips), str(tiny_bundle)]
    assert to_trt.main(command) == 3  # prepared, no TensorRT here
    graph = tiny_bundle / "trt" / "model.fp32.onnx"
    before = graph.read_bytes()
    capsys.readouterr()
    prepare = preparation.prepare

    def spoilt(*arguments: Any) -> Any:  # a preparation with a fault
        prepared = prepare(*arguments)
        return dataclasses.replace(prepared, proto=scale_weight(prepared.proto, "w", -3))

    monkeypatch.setattr(checked_graph, "prepare", spoilt)
    assert to_trt.main(command) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "the fp32 graph does not keep the answer" in line
    assert "largest value: layer 'conv' (Conv 'conv'" in line
    assert graph.read_bytes() == before


@pytest.mark.parametrize("noise", [False, True], ids=["clips", "noise"])
def test_an_overflow_that_the_cpu_hides_is_refused_and_named(
    noise: bool,
    tiny_model: Any,
    tiny_bundle: Path,
    tiny_clips: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
):
    loud = scale_weight(scale_weight(tiny_model, "w", 3e4), "wh", 1 / 3e4)  # a and r pass 65504
    loud.metadata_props.extend(onnx.load(tiny_bundle / "model.onnx").metadata_props)
    (tiny_bundle / "model.onnx").write_bytes(loud.SerializeToString())
    write_sums(tiny_bundle)
    clips = [] if noise else ["--calibration", str(tiny_clips)]
    command = ["--fp16", "--tensorrt", "11.4", *clips, str(tiny_bundle)]
    assert to_trt.main(command) == 3  # measured ranges keep them float32
    out = capsys.readouterr().out
    assert "truly in float16" in out and ("on noise, with looser bounds" in out) is noise
    monkeypatch.setattr(preparation, "collect_ranges", lambda *a: {})
    assert to_trt.main(command) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "the fp16 graph, in float16, does not keep the answer" in line  # ONNX Runtime's did
    assert "layer 'conv'" in line
