"""TensorRT-RTX itself, NVIDIA's parser and builder, on a machine without a GPU."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

trt = pytest.importorskip("tensorrt_rtx")
onnx = pytest.importorskip("onnx")

from deploy.backends import gpu, open_backend
from deploy.backends.library import TENSORRT_RTX
from deploy.backends.sidecar import read_sidecar
from export import to_trt
from export.engine.build import engine_from_onnx
from export.engine.network import NetworkLayer, islands, network_report
from export.engine.options import BuildOptions
from export.engine.prepare import prepare
from export.engine.rules import check
from export.engine.target import target_for
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256

PRECISIONS = ("fp32", "fp16", "int8")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where there is one: what is tested here does without."""
    monkeypatch.setattr(gpu, "DRIVER", "libno-such-driver.so")
    monkeypatch.setitem(sys.modules, "tensorrt", None)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_is_built_without_a_gpu(
    precision: str, tiny_bundle: Path, tiny_clips: Path, capsys: pytest.CaptureFixture[str]
):
    asked = ("--compute-capability", "12.0, 8.6") if precision == "int8" else ()
    arguments = (f"--{precision}", "--calibration", tiny_clips, *asked, tiny_bundle)
    assert to_trt.main([*map(str, arguments)]) == 0
    out, err = capsys.readouterr()
    where = "8.6, 12.0" if asked else "8.0, 8.6, 8.9, 12.0 and later"
    assert out.splitlines()[-1] == (
        "built here, not run here (no NVIDIA GPU): runs with TensorRT-RTX "
        f"{trt.__version__} on NVIDIA GPUs of compute capability {where}"
    )
    assert "building: Building engine" in err
    folder = tiny_bundle / "trt"
    path = folder / f"model.{precision}.engine"
    found = read_sidecar(path)
    assert found.engine_sha256 == file_sha256(path)
    assert found.onnx_sha256 == file_sha256(folder / f"model.{precision}.onnx")
    assert (found.library, found.tensorrt, found.gpu) == ("rtx", trt.__version__, None)
    assert found.compute_capabilities == (((8, 6), (12, 0)) if asked else ())
    assert found.report["run"] == "built here, not run here: no NVIDIA GPU"
    assert found.report["build"]["bytes"] == path.stat().st_size > 10_000
    assert found.report["build"]["seconds"] > 0
    assert f"{path.stat().st_size / 1e6:.1f} MB, built in " in out
    plan = json.loads((folder / f"plan.{precision}.json").read_text(encoding="utf-8"))
    assert f"--{precision} --target rtx" in plan["commands"]["build"]
    assert plan["network"]["parser"] == f"TensorRT-RTX {trt.__version__}"
    assert f"{plan['network']['layers']} layers parsed by TensorRT-RTX" in out
    counts = plan["network"]["precisions"]
    assert counts[precision] >= 1
    assert set(counts) & set(PRECISIONS) <= {precision, "fp16", "fp32"}
    layers = json.loads((folder / f"layers.{precision}.json").read_text(encoding="utf-8"))
    convolutions = [row["precision"] for row in layers if row["kind"] == "CONVOLUTION"]
    assert convolutions[0] == precision and len(convolutions) == 2  # the second is a projection
    assert [row["precision"] for row in layers if row["kind"] == "TOPK"] == ["fp32"]  # an island
    assert not list(folder.glob(".*")) and not (folder / "timing.cache").exists()
    with pytest.raises(UserError, match="no NVIDIA GPU") as caught:
        open_backend(path)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (3, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--compute-capability", "9.0"), "of 7.5, 8.0, 8.6, 8.9, 12.0, 12.1"),
        (("--compute-capability", "8.6,"), "received ''"),
        (("--target", "trt", "--compute-capability", "8.6"), "is for --target rtx"),
        (("--target", "rtx", "--dla-core", "0"), "--dla-core is not for --target rtx"),
        (("--target", "rtx", "--version-compatible"), "--version-compatible is not for"),
        (("--target", "rtx", "--hardware-compatible"), "--hardware-compatible is not for"),
        (("--target", "rtx", "--tensorrt", "8.6"), "--tensorrt is for --target trt"),
    ],
)
def test_what_a_target_does_not_know_is_one_line(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
):
    assert to_trt.main([*arguments, str(tiny_bundle)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tiny_bundle / "trt").exists()


def test_turing_is_refused_by_a_rule_before_the_builder(
    tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
):
    """In float32 its head is a matrix product that the builder lacks for 7.5, in float16 not."""
    assert to_trt.main(["--fp32", "--compute-capability", "7.5", str(tiny_bundle)]) == 4
    line = capsys.readouterr().err
    assert "float32 MatMul is not for compute capability 7.5 at 'head'" in line
    assert "--target rtx --compute-capability 7.5 lists all" in line
    assert to_trt.main(["--fp16", "--compute-capability", "7.5", str(tiny_bundle)]) == 0


def test_an_earlier_engine_stays_where_a_build_fails(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert to_trt.main(["--fp16", str(tiny_bundle)]) == 0
    kept = {path.name: path.read_bytes() for path in (tiny_bundle / "trt").glob("*.engine*")}
    # No batch of 10 ** 9 clips has an address: the builder itself refuses.
    assert to_trt.main(["--fp16", "--max-batch", str(10**9), str(tiny_bundle)]) == 4
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: TensorRT-RTX") and "built no fp16 engine" in line
    assert {
        path.name: path.read_bytes() for path in (tiny_bundle / "trt").glob("*.engine*")
    } == kept


def test_what_the_parser_refuses_is_named_with_its_node():
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>'
        "g (float[1, 2, 2] clip) => (float[1] y) { [odd] y = Det(clip) }"
    )
    with pytest.raises(UserError, match=r"cannot read the graph: UNSUPPORTED_NODE Det") as caught:
        engine_from_onnx(trt, graph.SerializeToString(), (2, 2), "fp32", True, BuildOptions())
    assert caught.value.exit_code == 4


def layer(name: str, precision: str, reads: str, makes: str) -> NetworkLayer:
    return NetworkLayer(name, "ELEMENTWISE", precision, tuple(reads.split()), tuple(makes.split()))


def test_islands_are_float32_layers_that_read_each_other():
    rows = [
        layer("a", "fp32", "x", "a"),
        layer("b", "fp32", "y", "b"),
        layer("c", "fp16", "a", "c"),
        layer("d", "fp32", "a b", "d"),  # joins a and b
        layer("e", "fp32", "c", "e"),  # by way of c, which is no float32
        layer("f", "other", "d", "f"),
    ]
    assert [(i.layers, i.first, i.last) for i in islands(rows)] == [(3, "a", "d"), (1, "e", "e")]
    assert islands([row for row in rows if row.name != "c"]) == []  # all is float32: no islands
    report = network_report(rows, "parser 1")
    assert report["precisions"] == {"fp16": 1, "fp32": 4, "other": 1}


# Every network of the project, small, in every precision: parsed, built, and no rule broken.


def exported(model: Any, randomise: Callable[..., None]) -> Any:
    from export.to_onnx import onnx_from_keras

    randomise(model)
    return onnx_from_keras(model, report=lambda _: None)


def check_builds(proto: Any, precisions: tuple[str, ...] = PRECISIONS) -> None:
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    shape = tuple(size.dim_value for size in dims)[1:]
    clips = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    target = target_for(None, TENSORRT_RTX)
    for precision in precisions:
        prepared = prepare(proto, precision, target, clips, True, "max").proto
        assert check(prepared, target) == []
        seen: list[NetworkLayer] = []
        graph = prepared.SerializeToString()
        options = BuildOptions(max_batch=2)
        assert engine_from_onnx(trt, graph, shape, precision, True, options, (), seen.extend)
        of_weights = [row for row in seen if row.kind in ("CONVOLUTION", "MATRIX_MULTIPLY")]
        assert any(row.precision == precision for row in of_weights), precision


def test_compact_xception_with_both_modules_builds(whole_graph: Any):
    check_builds(whole_graph)


def test_a_quantised_bundle_builds(int8_graph: Any):
    check_builds(int8_graph, ("int8",))


def test_shallownet_builds(randomise: Callable[..., None]):
    pytest.importorskip("tf2onnx")
    from keras_ddl.networks import zoo

    check_builds(exported(zoo.get("shallownet").build(32, 4, width=0.25), randomise))


# method of the comparison → side of the crops, frames, width
METHODS = {
    "meso4": (64, 4, 0.5),
    "mesoinception4": (64, 4, 0.5),
    "xception": (71, 4, 0.125),
    "f3net": (64, 4, 0.125),
    "multi_attentional": (75, 4, 0.125),
    "gff": (64, 4, 0.125),
    "cnn_lstm": (75, 4, 0.125),
    "dbirnn": (64, 4, 0.125),
    "clrnet": (48, 4, 0.125),
    "convlstm": (64, 4, 0.125),
    "dil": (64, 8, 0.125),
    "resnet18": (64, 4, 0.125),
}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_methods_of_the_comparison_build(method: str, randomise: Callable[..., None]):
    pytest.importorskip("tf2onnx")
    from keras_ddl.networks import zoo

    assert {*METHODS, "shallownet"} == set(zoo.NAMES)
    size, frames, width = METHODS[method]
    check_builds(exported(zoo.get(method).build(size, frames, width=width), randomise))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "size", "width"), [("resnet18", 64, 0.25), ("xception", 71, 1.0)]
)
def test_other_backbones_with_both_modules_build(
    backbone: str, size: int, width: float, randomise: Callable[..., None]
):
    pytest.importorskip("tf2onnx")
    from keras_ddl import build_model

    check_builds(exported(build_model(backbone, size=size, frames=4, width=width), randomise))


@pytest.mark.slow
def test_the_paper_sized_network_builds(randomise: Callable[..., None]):
    pytest.importorskip("tf2onnx")
    from keras_ddl import build_model

    check_builds(exported(build_model("compact_xception"), randomise), ("fp16",))


@pytest.mark.slow
def test_an_extended_cnn_builds(randomise: Callable[..., None]):
    pytest.importorskip("tf2onnx")
    from keras_ddl import extend
    from keras_ddl.framework import keras
    from keras_ddl.layers import ClipToFrames, FramesToClip

    layers = keras.layers
    image = keras.Input((32, 32, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu", name="stem")(image)
    y = layers.Conv2D(16, 3, padding="same", name="branch")(x)
    x = layers.Add(name="add")([x, y])
    plugged = extend(keras.Model(image, x), ["add"], frames=4)
    clip = keras.Input((4, 32, 32, 3), dtype="uint8", name="clip")
    features = layers.GlobalAveragePooling2D()(plugged(ClipToFrames()(clip)))
    of_frames = layers.Dense(2, name="head")(FramesToClip(4)(features))
    logits = layers.GlobalAveragePooling1D(name="mean")(of_frames)
    check_builds(exported(keras.Model(clip, logits), randomise))
