"""The forms of a bundle, and the clips that they are judged on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.conversion.run_clips import COUNT, run_clips
from export.engine.operators import first_reader
from export.graph.precision import Form, in_form
from export.parity.clips import clips_for
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (Form(), "bundle"),
        (Form("fp16"), "bundle-fp16"),
        (Form("int8"), "bundle-int8"),
        (Form("int8", "fp16"), "bundle-int8-fp16"),
        (Form("int8", cpu=True), "bundle-int8-cpu"),
    ],
)
def test_every_form_has_a_folder_of_its_own(form: Form, name: str):
    assert form.bundle == name
    assert form.half == ("fp16" in name)


@pytest.mark.parametrize(
    "arguments",
    [("fp32", "fp16"), ("fp16", "fp16"), ("fp32", "fp32", True), ("int8", "fp16", True)],
)
def test_what_does_not_go_together_is_refused(arguments: tuple[Any, ...]):
    with pytest.raises(UserError) as caught:
        Form(*arguments)
    assert caught.value.exit_code == 2


def test_int8_with_a_float16_rest(small: Any, small_clips: np.ndarray):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx_reference import ReferenceRuntime

    from export.engine.prepare import prepare
    from export.engine.rules import check, target_for
    from export.graph.fold_batch_norm import fold_batch_norm
    from export.graph.insert_qdq import insert_qdq
    from export.graph.int8_share import int8_share
    from export.graph.mixed_fp16 import computes_in_float16, raise_opset
    from export.graph.onnx_graph import Graph, unused

    fold_batch_norm(small)
    rounded = insert_qdq(small, {"x": 1.0, "r": 20.0})

    def none() -> np.ndarray:
        raise AssertionError("no further ranges are needed")

    assert in_form(rounded, Form("int8"), small_clips, none) is rounded
    result = in_form(rounded, Form("int8", "fp16"), small_clips, none)
    onnx.checker.check_model(result, full_check=True)
    assert unused(result) == []
    assert not computes_in_float16(rounded) and computes_in_float16(result)
    assert int8_share(result).share == int8_share(rounded).share > 0
    graph = Graph(result).infer()
    kinds = {node.name: graph.dtype(node.output[0]) for node in graph.nodes}
    assert (kinds["conv"], kinds["add"], kinds["variance"], kinds["sigmoid"]) == (10, 10, 1, 1)
    assert graph.opset == 19  # below it scales are float32
    target = target_for("10.13")
    assert check(prepare(result, "int8", target, small_clips, False, "max").proto, target) == []
    feed = {"clip": small_clips}
    # ONNX's evaluator has no DequantizeLinear of opset 17.
    graphs = (raise_opset(rounded), result)
    exact, half = (ReferenceRuntime(one).infer(feed)["score"] for one in graphs)
    np.testing.assert_allclose(half, exact, atol=0.02)


def test_the_opset_is_the_highest_that_the_oldest_version_reads():
    from export.conversion.onnx_from_keras import OPSET

    assert first_reader(OPSET) == "8.6" and first_reader(OPSET + 1) != "8.6"
    assert first_reader(19) == "9.2" and first_reader(24) == "10.15"
    with pytest.raises(ValueError, match="up to 24"):
        first_reader(25)


def test_parity_clips_are_of_both_classes(flicker_set: Path):
    pytest.importorskip("tensorflow")
    spec = ClipSpec(frames=4, size=32)
    found = run_clips({"prepared": str(flicker_set)}, spec, "val")
    count = len(found.clips)
    assert 2 < count <= COUNT and found.clips.shape[1:] == (4, 32, 32, 3)
    assert found.labels is not None and found.labels.tolist().count(1) == count // 2
    assert found.origin == f"validation clips, {count // 2} real and {count // 2} fake"
    noise = run_clips({}, spec, "val")
    assert len(noise.clips) == COUNT
    assert noise.labels is None and "noise" in noise.origin
    with pytest.raises(UserError, match="ranges are chosen from training clips"):
        run_clips({}, spec, "train")


def test_labels_of_a_clip_file_stay_with_their_clips(tmp_path: Path):
    spec, path = ClipSpec(frames=4, size=32), tmp_path / "clips.npz"
    labels = np.array([0, 1] * 4)  # in turn: every other clip would be of one class
    clips = np.broadcast_to(
        np.arange(8, dtype=np.uint8)[:, None, None, None, None], (8, 4, 32, 32, 3)
    )
    np.savez(path, clips=clips, labels=labels)
    found = clips_for(tmp_path, spec, path)
    compared = found.compared
    assert compared.labels is not None and sorted(compared.labels) == [0, 0, 1, 1]
    assert [labels[clip[0, 0, 0, 0]] for clip in compared.clips] == list(compared.labels)
    np.savez(path, clips=clips, labels=labels[:3])
    with pytest.raises(UserError, match=r"a label, 0 or 1, for each of 8 clips, received int64"):
        clips_for(tmp_path, spec, path)
    np.savez(path, clips=clips)
    assert clips_for(tmp_path, spec, path).compared.labels is None
