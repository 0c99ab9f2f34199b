"""What is asked of TensorRT, version by version, and what becomes of the engine it returns."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strict_cuda import StrictCuda
from strict_tensorrt import RTX, VERSIONS, StrictTensorRT

from deploy.backends import gpu as machine
from deploy.backends import sidecar
from deploy.backends import trt as runner
from deploy.backends.gpu import Gpu
from export import to_trt
from export.engine import checked_engine, job
from export.engine.build import engine_from_onnx
from export.engine.options import BuildOptions
from keras_ddl.edge.errors import UserError

ORIN = Gpu("Orin", (8, 7))
SHAPE = (4, 32, 32, 3)
Feed = dict[str, np.ndarray]


def constant(feed: Feed) -> Feed:
    batch = len(feed["clip"])
    return {
        "fake_probability": np.full(batch, 0.5, np.float32),
        "inconsistency_map": np.zeros((batch, 4, 4, 4), np.float32),
    }


def strict(version: str, **options: Any) -> StrictTensorRT:
    return StrictTensorRT(version, StrictCuda(), constant, **options)


def build(trt: StrictTensorRT, precision: str, typed: bool, **options: Any) -> bytes:
    return engine_from_onnx(
        trt.module, b"onnx", SHAPE, precision, typed, BuildOptions(**options), ["score"]
    )


def flags(trt: StrictTensorRT) -> set[str]:
    return {flag.name for (flag,) in trt.recorded("IBuilderConfig", "set_flag")}


# version, precision, typed → creation flags, builder flags set
ASKED = [
    ("8.6.1", "fp32", False, {"EXPLICIT_BATCH"}, set()),
    ("8.6.1", "fp16", False, {"EXPLICIT_BATCH"}, {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
    ("8.6.1", "int8", False, {"EXPLICIT_BATCH"}, {"FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"}),
    ("10.3.0", "fp16", False, {"EXPLICIT_BATCH"}, {"FP16", "OBEY_PRECISION_CONSTRAINTS"}),
    ("10.13.3.9", "fp16", True, {"EXPLICIT_BATCH", "STRONGLY_TYPED"}, set()),
    ("10.16.1.11", "int8", True, {"EXPLICIT_BATCH", "STRONGLY_TYPED"}, set()),
    ("11.4.0.106", "fp16", True, {"STRONGLY_TYPED"}, set()),
    ("11.4.0.106", "fp32", True, {"STRONGLY_TYPED"}, set()),
]


@pytest.mark.parametrize(("version", "precision", "typed", "creation", "wanted"), ASKED)
def test_precision_is_asked_for_as_the_version_wants_it(
    version: str, precision: str, typed: bool, creation: set[str], wanted: set[str]
):
    trt = strict(version)
    build(trt, precision, typed)
    ((bits,),) = trt.recorded("Builder", "create_network")
    kinds = trt.module.NetworkDefinitionCreationFlag
    assert {kind.name for kind in kinds if bits & 1 << int(kind)} == creation
    assert flags(trt) == wanted
    cleared = [flag.name for (flag,) in trt.recorded("IBuilderConfig", "clear_flag")]
    assert cleared == (["TF32"] if precision == "fp32" else [])


@pytest.mark.parametrize("version", VERSIONS)
def test_options_reach_the_builder(version: str, tmp_path: Path):
    trt, cache = strict(version), tmp_path / "cache"
    cache.write_bytes(b"before")
    options = {
        "min_batch": 1,
        "opt_batch": 2,
        "max_batch": 4,
        "workspace_mib": 3,
        "optimisation_level": 5,
        "timing_cache": cache,
        "hardware_compatible": True,
        "version_compatible": True,
        "dla_core": 1,
    }
    build(trt, "fp16", version.startswith("11"), **options)
    assert trt.recorded("IOptimizationProfile", "set_shape") == [
        ("clip", (1, *SHAPE), (2, *SHAPE), (4, *SHAPE))
    ]
    assert len(trt.recorded("IBuilderConfig", "add_optimization_profile")) == 1
    pool = trt.module.MemoryPoolType.WORKSPACE
    assert trt.recorded("IBuilderConfig", "set_memory_pool_limit") == [(pool, 3 << 20)]
    assert trt.recorded("IBuilderConfig", "builder_optimization_level") == [5]
    assert trt.recorded("IBuilderConfig", "DLA_core") == [1]
    assert {"VERSION_COMPATIBLE", "GPU_FALLBACK"} <= flags(trt)
    (level,) = trt.recorded("IBuilderConfig", "hardware_compatibility_level")
    assert level.name == "AMPERE_PLUS"
    assert trt.recorded("IBuilderConfig", "create_timing_cache") == [(b"before",)]
    assert cache.read_bytes() == b"timed"


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_islands_are_pinned_where_types_are_the_builders(version: str):
    trt = strict(version)
    trt.layers += [
        trt.layer("conv"),
        trt.layer("score"),
        trt.layer("score_1"),
        trt.layer("score_of_conv"),
        trt.layer("score", dtype="INT32"),
        trt.layer("score", shape_tensor=True),
    ]
    build(trt, "fp16", False)
    assert len(trt.recorded("ILayer", "precision")) == 2
    pinned = [layer.precision for layer in trt.layers[1:3]]
    assert pinned == [trt.module.DataType.FLOAT] * 2
    assert trt.recorded("ILayer", "set_output_type") == [(0, trt.module.DataType.FLOAT)] * 2


def test_a_version_without_weak_typing_is_not_asked_for_it():
    with pytest.raises(UserError, match="has no flag FP16"):
        build(strict("11.4.0.106"), "fp16", False)
    with pytest.raises(UserError, match="has no strongly typed"):
        build(strict("8.6.1"), "fp16", True)


@pytest.mark.parametrize(
    ("fail", "words"), [("parse", "no importer for Spam"), ("build", "no kernel fits")]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_refusal_says_why_in_one_line(version: str, fail: str, words: str):
    with pytest.raises(UserError, match=words) as caught:
        build(strict(version, fail=fail), "fp32", version.startswith("11"))
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_dla_core_that_is_not_there_is_named():
    with pytest.raises(UserError, match="below 2, received 2") as caught:
        build(strict("10.3.0"), "fp16", False, dla_core=2)
    assert caught.value.exit_code == 3


def test_progress_is_told_where_the_version_tells_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    build(strict("10.3.0"), "fp32", False)
    assert "building: Tactics" in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    build(strict("10.3.0"), "fp32", False)
    steps = capsys.readouterr().err.split("\r\x1b[K")
    assert steps[1:3] == [
        f"building: Tactics [{'#' * full}{'.' * (30 - full)}] {percent} %"
        for full, percent in ((15, 50), (30, 100))  # the inner phase is all of the first step
    ]
    build(strict("8.6.1"), "fp32", False)
    assert "minutes are normal" in capsys.readouterr().err


# From here on the whole command, with ONNX Runtime's answers as the engine's.


@pytest.fixture
def real_answers(tiny_bundle: Path) -> Any:
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(str(tiny_bundle / "model.onnx"))
    names = [value.name for value in session.get_outputs()]
    return lambda feed: dict(zip(names, session.run(None, {**feed}), strict=True))


def command(monkeypatch: pytest.MonkeyPatch, trt: StrictTensorRT, *arguments: object) -> int:
    monkeypatch.setitem(sys.modules, "tensorrt", trt.module)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", trt.cuda.module)
    for module in (job, sidecar):
        monkeypatch.setattr(module, "first_gpu", lambda: ORIN)
    return to_trt.main([*map(str, arguments)])


LAYER_TYPES = {"fp32": "Float", "fp16": "Half", "int8": "Int8"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", LAYER_TYPES)
def test_an_engine_is_built_proven_and_described(
    version: str, precision: str, tiny_bundle, tiny_clips, real_answers, monkeypatch, capsys
):
    trt = StrictTensorRT(version, StrictCuda(), real_answers, layer_type=LAYER_TYPES[precision])
    arguments = (f"--{precision}", "--calibration", tiny_clips, "--max-batch", 2, "--profile")
    assert command(monkeypatch, trt, *arguments, tiny_bundle) == 0
    out = capsys.readouterr().out
    assert f"layers: 1 {precision}" in out
    assert "0 flips of 3" in out
    assert "0.250 ms  conv" in out
    assert "batch 2, CUDA graph: p50" in out
    folder = tiny_bundle / "trt"
    found = sidecar.check_engine(folder / f"model.{precision}.engine")
    assert (found.tensorrt, found.gpu, found.precision) == (version, "Orin", precision)
    assert found.profile == {"min": 1, "opt": 2, "max": 2}
    assert "clipspec" in found.metadata
    modes = {(row["mode"], row["batch"]) for row in found.report["speed"]}
    assert modes == {(m, b) for m in ("no graph", "CUDA graph") for b in (1, 2)}
    layers = json.loads((folder / f"layers.{precision}.json").read_text(encoding="utf-8"))
    assert layers == [
        {"name": "conv", "kind": "CaskConvolution", "precision": precision, "ms": 0.25}
    ]
    assert (folder / "timing.cache").read_bytes() == b"timed"
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert trt.cuda.leaks == 0


def test_an_engine_that_answers_otherwise_leaves_the_earlier_one(
    tiny_bundle, real_answers, monkeypatch, capsys
):
    good = StrictTensorRT("10.3.0", StrictCuda(), real_answers)
    assert command(monkeypatch, good, "--fp16", tiny_bundle) == 0
    before = {path.name: path.read_bytes() for path in (tiny_bundle / "trt").glob("*.engine*")}
    assert len(before) == 2
    wrong = StrictTensorRT("10.3.0", StrictCuda(), constant)
    assert command(monkeypatch, wrong, "--fp16", "--opt-level", 4, tiny_bundle) == 4
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error:")]
    assert "the fp16 engine does not keep the answer" in line
    after = {path.name: path.read_bytes() for path in (tiny_bundle / "trt").glob("*.engine*")}
    assert after == before
    assert wrong.cuda.leaks == 0


def test_a_half_engine_of_float_layers_is_refused(tiny_bundle, real_answers, monkeypatch, capsys):
    trt = StrictTensorRT("10.3.0", StrictCuda(), real_answers, layer_type="Float")
    assert command(monkeypatch, trt, "--fp16", tiny_bundle) == 4
    assert "expected fp16 layers, the engine has 1 fp32" in capsys.readouterr().err


def test_best_builds_both_and_names_one(tiny_bundle, tiny_clips, real_answers, monkeypatch, capsys):
    trt = StrictTensorRT("10.13.3.9", StrictCuda(), real_answers, layer_type="Int8")
    monkeypatch.setattr(checked_engine, "require_precision", lambda layers, precision: None)
    arguments = ("--best", "--calibration", tiny_clips)
    assert command(monkeypatch, trt, *arguments, tiny_bundle) == 0
    names = {path.name for path in (tiny_bundle / "trt").glob("*.engine")}
    assert names == {"model.fp16.engine", "model.int8.engine"}
    assert capsys.readouterr().out.splitlines()[-1].endswith("ms a clip")


def test_another_version_than_the_one_here_is_refused(tiny_bundle, monkeypatch, capsys):
    assert command(monkeypatch, strict("10.3.0"), "--tensorrt", "8.6", tiny_bundle) == 2
    assert "expected --tensorrt 10.3.0, the one installed" in capsys.readouterr().err


def test_tensorrt_without_a_gpu_still_prepares(tiny_bundle, monkeypatch, capsys):
    trt = strict("10.3.0")
    monkeypatch.setitem(sys.modules, "tensorrt", trt.module)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    monkeypatch.setattr(machine, "DRIVER", "libno-such-driver.so")
    assert to_trt.main(["--fp16", str(tiny_bundle)]) == 3
    assert "not built: no NVIDIA GPU found" in capsys.readouterr().err
    assert (tiny_bundle / "trt" / "model.fp16.onnx").is_file()
    assert trt.calls == []


# TensorRT-RTX where there is a GPU; test_rtx.py has the real one, where there is none.


def rtx_command(monkeypatch, trt: StrictTensorRT, gpu: Gpu, *arguments: object) -> int:
    trt.layers += [trt.layer("conv", "HALF")]
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", trt.module)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", trt.cuda.module)
    monkeypatch.setattr(job, "gpus", lambda: [gpu])
    for module in (sidecar, runner):
        monkeypatch.setattr(module, "first_gpu", lambda: gpu)
    return to_trt.main([*map(str, arguments)])


def test_an_engine_of_tensorrt_rtx_is_proven_where_it_can_run(
    tiny_bundle, real_answers, monkeypatch, capsys
):
    trt = StrictTensorRT(RTX, StrictCuda(), real_answers)
    asked = ("--compute-capability", "8.6,8.9")
    assert rtx_command(monkeypatch, trt, Gpu("RTX 4090", (8, 9)), *asked, tiny_bundle) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("ms a clip")
    assert trt.recorded("IBuilderConfig", "num_compute_capabilities") == [2]
    kinds = trt.recorded("IBuilderConfig", "set_compute_capability")
    assert [(kind.name, place) for kind, place in kinds] == [("SM86", 0), ("SM89", 1)]
    assert trt.recorded("IBuilderConfig", "create_timing_cache") == []
    found = sidecar.check_engine(tiny_bundle / "trt" / "model.fp16.engine")
    assert (found.report["run"], found.gpu) == ("built and run here", None)
    assert found.report["parity"]["flips"] == 0 and len(found.report["speed"]) == 2
    assert trt.cuda.leaks == 0


def test_an_engine_of_tensorrt_rtx_that_answers_otherwise_is_not_installed(
    tiny_bundle, monkeypatch, capsys
):
    trt = StrictTensorRT(RTX, StrictCuda(), constant)
    assert rtx_command(monkeypatch, trt, Gpu("RTX 4090", (8, 9)), tiny_bundle) == 4
    assert "the fp16 engine does not keep the answer" in capsys.readouterr().err
    assert not list((tiny_bundle / "trt").glob("*.engine*"))


def test_an_engine_of_tensorrt_rtx_for_other_gpus_is_built_and_not_run(
    tiny_bundle, monkeypatch, capsys
):
    trt = StrictTensorRT(RTX, StrictCuda(), constant)
    assert rtx_command(monkeypatch, trt, Gpu("H100", (9, 0)), tiny_bundle) == 0
    assert "not run here (it is not for H100 (compute capability 9.0))" in capsys.readouterr().out
    assert not trt.recorded("Runtime", "deserialize_cuda_engine")
