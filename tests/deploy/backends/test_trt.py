"""The engine runner against strict stand-ins of every TensorRT version and of CUDA."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strict_cuda import StrictCuda
from strict_tensorrt import RTX, VERSIONS, StrictTensorRT

from deploy.backends import gpu as machine
from deploy.backends import open_backend, sidecar
from deploy.backends import trt as runner
from deploy.backends.gpu import Gpu
from deploy.backends.sidecar import (
    EngineSidecar,
    read_sidecar,
    rebuild_command,
    sidecar_path,
    system_name,
)
from deploy.machine import choose_model as choice
from deploy.machine.choose_model import choose_model
from keras_ddl.edge.bundle import write_sums
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256

ORIN = Gpu("Orin", (8, 7))
CLIP = (4, 32, 32, 3)
RTX_VERSION = "1.7.1.116"
PORTABLE: dict[str, Any] = {"library": "rtx", "gpu": None, "compute_capabilities": ()}


def brightness(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    clips = feed["clip"].astype(np.float32) / 255
    heat = clips.mean(axis=-1)[:, :, :4, :4]
    return {"fake_probability": clips.mean(axis=(1, 2, 3, 4)), "inconsistency_map": heat}


def clips(batch: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (batch, *CLIP), np.uint8)


@pytest.fixture
def cuda() -> StrictCuda:
    return StrictCuda()


@pytest.fixture(params=VERSIONS)
def trt(request: pytest.FixtureRequest, cuda: StrictCuda, monkeypatch) -> StrictTensorRT:
    return install(monkeypatch, StrictTensorRT(request.param, cuda, brightness))


def install(monkeypatch: pytest.MonkeyPatch, trt: StrictTensorRT, gpu: Gpu = ORIN):
    portable = trt.version == RTX_VERSION
    monkeypatch.setitem(sys.modules, "tensorrt_rtx" if portable else "tensorrt", trt.module)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", trt.cuda.module)
    for module in (sidecar, runner):
        monkeypatch.setattr(module, "first_gpu", lambda: gpu)
    monkeypatch.setattr(choice, "gpus", lambda: [gpu])
    return trt


def write_engine(folder: Path, version: str, least: int = 1, most: int = 1, **changes: Any) -> Path:
    """A bundle with an engine that only the stand-in can read."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b"the model")
    spec = ClipSpec(frames=4, size=32)
    spec.write(folder / "clipspec.json")
    write_sums(folder)
    path = folder / "trt" / "model.fp16.engine"
    path.parent.mkdir(exist_ok=True)
    profile = [[least, *CLIP], [most, *CLIP], [most, *CLIP]]
    path.write_text(json.dumps({"profile": profile}), encoding="utf-8")
    facts: dict[str, Any] = {
        "engine_sha256": file_sha256(path),
        "onnx_sha256": "0" * 64,
        "bundle_sha256": file_sha256(folder / "model.onnx"),
        "precision": "fp16",
        "strongly_typed": True,
        "tensorrt": version,
        "gpu": ORIN.name,
        "compute_capabilities": (ORIN.compute_capability,),
        "system": system_name(),
        "profile": {"min": least, "opt": most, "max": most},
        "metadata": {"clipspec": spec.to_json()},
    }
    EngineSidecar(**{**facts, **changes}).write(path)
    return path


def check_answer(backend: Any, feed: np.ndarray) -> None:
    answer, expected = backend.infer({"clip": feed}), brightness({"clip": feed})
    assert set(answer) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, rtol=1e-6)


def test_a_fixed_batch_runs_recorded(tmp_path: Path, trt: StrictTensorRT, cuda: StrictCuda):
    path = write_engine(tmp_path, trt.version)
    with open_backend(path) as backend:
        assert [str(spec) for spec in backend.inputs] == ["'clip' uint8 (1, 4, 32, 32, 3)"]
        assert [spec.name for spec in backend.outputs] == ["fake_probability", "inconsistency_map"]
        assert backend.metadata["clipspec"] == ClipSpec(frames=4, size=32).to_json()
        assert backend.name == f"tensorrt {trt.version} fp16 Orin"
        for seed in range(3):
            check_answer(backend, clips(1, seed))
        assert (cuda.captures, cuda.launches) == (1, 2)
    assert cuda.leaks == 0
    backend.close()
    with pytest.raises(ValueError, match="closed"):
        backend.infer({"clip": clips(1)})


def test_a_varying_batch_runs_unrecorded(tmp_path: Path, trt: StrictTensorRT, cuda: StrictCuda):
    with open_backend(write_engine(tmp_path, trt.version, 1, 3)) as backend:
        assert backend.largest_batch == 3
        for batch in (1, 3, 2, 2):
            check_answer(backend, clips(batch, batch))
        assert cuda.captures == 0
        with pytest.raises(ValueError, match=r"at most \(3, 4, 32, 32, 3\).*--max-batch"):
            backend.infer({"clip": clips(4)})
        check_answer(backend, clips(1))
    assert cuda.leaks == 0


def test_a_recording_is_made_again_for_another_batch(tmp_path, trt: StrictTensorRT, cuda):
    with open_backend(write_engine(tmp_path, trt.version, 1, 3), cuda_graph=True) as backend:
        for batch in (2, 2, 1, 1):
            check_answer(backend, clips(batch, batch))
        assert (cuda.captures, cuda.launches) == (2, 2)
    assert cuda.leaks == 0


def test_a_result_is_the_callers_own(tmp_path: Path, trt: StrictTensorRT):
    with open_backend(write_engine(tmp_path, trt.version)) as backend:
        first = backend.infer({"clip": clips(1, 1)})["fake_probability"]
        kept = first.copy()
        backend.infer({"clip": np.zeros((1, *CLIP), np.uint8)})
        np.testing.assert_array_equal(first, kept)


def test_the_same_checks_at_the_door(tmp_path: Path, trt: StrictTensorRT):
    with open_backend(write_engine(tmp_path, trt.version)) as backend:
        with pytest.raises(ValueError, match="received float32"):
            backend.infer({"clip": clips(1).astype(np.float32)})
        with pytest.raises(ValueError, match=r"received \['x'\]"):
            backend.infer({"x": clips(1)})


def test_layers_and_their_times(tmp_path: Path, trt: StrictTensorRT):
    with open_backend(write_engine(tmp_path, trt.version)) as backend:
        assert "CaskConvolution" in backend.layer_information()
        assert backend.layer_times({"clip": clips(1)}) == {"conv": 0.25}


NEWEST = VERSIONS[-1]
Spoil = Callable[[Path], Path]
REFUSED: list[tuple[str, int, Spoil]] = [
    ("built by TensorRT 9.9, here is", 4, lambda p: write_engine(p, "9.9")),
    (
        "Thor (compute capability 11.0), here is Orin (",
        4,
        lambda p: write_engine(p, NEWEST, gpu="Thor", compute_capabilities=((11, 0),)),
    ),
    ("built on Plan9-mips", 4, lambda p: write_engine(p, NEWEST, system="Plan9-mips")),
    ("from another model", 4, lambda p: write_engine(p, NEWEST, bundle_sha256="1" * 64)),
    ("not the file that its sidecar", 4, lambda p: write_engine(p, NEWEST, engine_sha256="1" * 64)),
]


@pytest.mark.parametrize(("words", "code", "spoil"), REFUSED, ids=[row[0] for row in REFUSED])
def test_a_foreign_engine_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch, cuda: StrictCuda, words: str, code: int, spoil: Spoil
):
    trt = install(monkeypatch, StrictTensorRT(NEWEST, cuda, brightness))
    with pytest.raises(UserError) as caught:
        open_backend(spoil(tmp_path))
    assert words in str(caught.value)
    assert f"python export/to_trt.py --fp16 {tmp_path}" in str(caught.value)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (code, False)
    assert trt.calls == [] and cuda.leaks == 0


def test_without_a_sidecar_nothing_is_loaded(tmp_path: Path, trt: StrictTensorRT):
    path = write_engine(tmp_path, trt.version)
    sidecar_path(path).write_text('{"version": 7}', encoding="utf-8")
    with pytest.raises(UserError, match="not a sidecar of version 2") as caught:
        open_backend(path)
    assert caught.value.exit_code == 4
    sidecar_path(path).unlink()
    with pytest.raises(UserError, match="found none") as caught:
        open_backend(path)
    assert caught.value.exit_code == 3
    assert trt.calls == []


def test_without_a_gpu_tensorrt_is_not_touched(tmp_path: Path, trt: StrictTensorRT, monkeypatch):
    monkeypatch.setattr(machine, "DRIVER", "libno-such-driver.so")
    monkeypatch.setattr(sidecar, "first_gpu", machine.first_gpu)
    with pytest.raises(UserError, match="no NVIDIA GPU") as caught:
        open_backend(write_engine(tmp_path, trt.version))
    assert caught.value.exit_code == 3
    assert trt.calls == []


def test_compatible_engines_travel_as_far_as_they_were_built_to(tmp_path, monkeypatch, cuda):
    install(monkeypatch, StrictTensorRT("10.13.3.9", cuda, brightness), Gpu("A100", (8, 0)))
    path = write_engine(tmp_path, "10.3.0", hardware_compatible=True, version_compatible=True)
    with open_backend(path) as backend:
        check_answer(backend, clips(1))
    for changes in ({"tensorrt": "10.16.1.11"}, {"tensorrt": "8.6.1"}):
        path = write_engine(
            tmp_path,
            hardware_compatible=True,
            version_compatible=True,
            **{"version": "", **changes},
        )
        with pytest.raises(UserError, match="was built by TensorRT"):
            open_backend(path)
    install(monkeypatch, StrictTensorRT("10.13.3.9", cuda, brightness), Gpu("T4", (7, 5)))
    with pytest.raises(UserError, match="here is T4"):
        open_backend(write_engine(tmp_path, "10.13.3.9", hardware_compatible=True))


def test_an_engine_that_does_not_load_is_one_line(tmp_path: Path, monkeypatch, cuda: StrictCuda):
    install(monkeypatch, StrictTensorRT(NEWEST, cuda, brightness, fail="load"))
    with pytest.raises(UserError, match=r"magic tag.*build it again") as caught:
        open_backend(write_engine(tmp_path, NEWEST))
    assert caught.value.exit_code == 4
    assert cuda.leaks == 0


def test_too_little_memory_is_one_line_and_releases_what_was_taken(tmp_path, monkeypatch):
    cuda = StrictCuda(room=1000)  # less than one clip
    install(monkeypatch, StrictTensorRT(NEWEST, cuda, brightness))
    with pytest.raises(UserError, match=r"out of memory; .*--max-batch") as caught:
        open_backend(write_engine(tmp_path, NEWEST))
    assert caught.value.exit_code == 3
    assert cuda.leaks == 0


def test_a_sidecar_reads_back_what_was_written(tmp_path: Path):
    path = write_engine(tmp_path, "10.3.0", dla_core=1, report={"parity": {"flips": 0}})
    found = read_sidecar(path)
    assert (found.compute_capabilities, found.dla_core) == (((8, 7),), 1)
    assert found.report == {"parity": {"flips": 0}}


def test_auto_takes_the_newest_engine_that_fits_else_the_graph(
    tmp_path: Path, trt: StrictTensorRT, caplog: pytest.LogCaptureFixture
):
    fits = write_engine(tmp_path / "bundle", trt.version)
    assert choose_model(tmp_path / "bundle") == fits
    assert choose_model(tmp_path / "bundle", "onnx") == tmp_path / "bundle"
    assert choose_model(fits) == fits
    with pytest.raises(UserError, match="expected a bundle for --backend onnx"):
        choose_model(fits, "onnx")
    foreign = write_engine(tmp_path / "foreign", trt.version, gpu="H100")
    assert choose_model(foreign.parents[1]) == foreign.parents[1]
    assert "was built for H100" in caplog.text
    with pytest.raises(UserError, match="was built for H100") as caught:
        choose_model(foreign.parents[1], "tensorrt")
    assert caught.value.exit_code == 3
    (tmp_path / "bare").mkdir()
    assert choose_model(tmp_path / "bare") == tmp_path / "bare"
    with pytest.raises(UserError, match=r"found none; build one: python export/to_trt\.py --fp16"):
        choose_model(tmp_path / "bare", "tensorrt")


def test_the_command_builds_the_same_kind_of_engine_again(tmp_path: Path):
    plain = write_engine(tmp_path, "10.3.0")
    assert rebuild_command(read_sidecar(plain), plain) == (
        f"python export/to_trt.py --fp16 {tmp_path}"
    )
    wide = write_engine(tmp_path, "10.3.0", 1, 8, hardware_compatible=True, dla_core=0)
    assert rebuild_command(read_sidecar(wide), wide) == (
        "python export/to_trt.py --fp16 --min-batch 1 --opt-batch 8 --max-batch 8 "
        f"--hardware-compatible --dla-core 0 {tmp_path}"
    )


# From here on TensorRT-RTX.


@pytest.fixture
def rtx(cuda: StrictCuda, monkeypatch) -> StrictTensorRT:
    return install(monkeypatch, StrictTensorRT(RTX, cuda, brightness), Gpu("RTX 4090", (8, 9)))


@pytest.mark.parametrize(
    ("most", "asked", "strategy"),
    [(1, None, "WHOLE_GRAPH_CAPTURE"), (1, False, "DISABLED"), (3, None, "DISABLED")],
)
def test_rtx_records_by_itself_and_is_never_recorded(
    tmp_path: Path, rtx: StrictTensorRT, cuda: StrictCuda, most: int, asked, strategy: str
):
    path = write_engine(tmp_path, RTX_VERSION, 1, most, **PORTABLE)
    with open_backend(path, cuda_graph=asked) as backend:
        assert backend.name == "tensorrt-rtx 1.7.1.116 fp16 RTX 4090"
        for batch in {1, most}:
            check_answer(backend, clips(batch, batch))
    chosen = rtx.recorded("IRuntimeConfig", "cuda_graph_strategy")
    assert [kind.name for kind in chosen] == [strategy]
    ((config,),) = rtx.recorded("ICudaEngine", "create_execution_context")
    assert config.cuda_graph_strategy == chosen[0]
    assert (cuda.captures, cuda.leaks) == (0, 0)


# the GPU here, what the engine was asked for, whether it is for it
ON_GPUS = [
    ((8, 0), (), True),
    ((8, 9), (), True),
    ((12, 1), (), True),  # later than those that NVIDIA names
    ((7, 5), (), False),  # Turing has to be asked for
    ((8, 7), (), False),  # Orin
    ((9, 0), (), False),  # H100
    ((8, 6), ((8, 6), (12, 0)), True),
    ((8, 9), ((8, 6), (12, 0)), False),
    ((7, 5), ((7, 5),), True),
]


@pytest.mark.parametrize(("here", "asked", "fits"), ON_GPUS)
def test_rtx_runs_where_it_was_built_for(tmp_path, monkeypatch, cuda, here, asked, fits):
    trt = install(monkeypatch, StrictTensorRT(RTX, cuda, brightness), Gpu("GPU", here))
    path = write_engine(tmp_path, RTX_VERSION, **{**PORTABLE, "compute_capabilities": asked})
    if fits:
        open_backend(path).close()
        return
    with pytest.raises(UserError, match=r"was built for GPUs of compute capability .*here is GPU"):
        open_backend(path)
    assert trt.calls == []


def test_rtx_refuses_another_version_and_says_how_to_build_again(tmp_path, rtx: StrictTensorRT):
    asked = {**PORTABLE, "compute_capabilities": ((8, 6), (8, 9))}
    with pytest.raises(UserError, match=r"built by TensorRT-RTX 1\.6, here is 1\.7") as caught:
        open_backend(write_engine(tmp_path, "1.6", **asked))
    command = f"python export/to_trt.py --fp16 --target rtx --compute-capability 8.6,8.9 {tmp_path}"
    assert str(caught.value).endswith(command)


def test_rtx_engines_cross_systems(tmp_path: Path, rtx: StrictTensorRT):
    path = write_engine(tmp_path, RTX_VERSION, **PORTABLE, system="Windows-AMD64")
    with open_backend(path) as backend:
        assert backend.name.startswith("tensorrt-rtx 1.7")


def test_without_a_gpu_auto_takes_the_graph_and_says_nothing(tmp_path, rtx, monkeypatch, caplog):
    write_engine(tmp_path, RTX_VERSION, **PORTABLE)
    monkeypatch.setattr(choice, "gpus", list)
    monkeypatch.setattr(machine, "DRIVER", "libno-such-driver.so")
    monkeypatch.setattr(sidecar, "first_gpu", machine.first_gpu)
    assert choose_model(tmp_path) == tmp_path
    assert caplog.text == "" and rtx.calls == []
    with pytest.raises(UserError, match="no NVIDIA GPU") as caught:
        choose_model(tmp_path, "tensorrt")
    assert caught.value.exit_code == 3


def test_onnx_runtimes_plugin_needs_a_gpu(tmp_path: Path, monkeypatch):
    ort = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(machine, "DRIVER", "libno-such-driver.so")
    (tmp_path / "model.onnx").write_bytes(b"not looked into")
    with pytest.raises(UserError, match="no NVIDIA GPU") as caught:
        open_backend(tmp_path / "model.onnx", device="rtx")
    assert caught.value.exit_code == 3
    monkeypatch.setattr("deploy.backends.ort.first_gpu", lambda: ORIN)
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_nv_tensorrt_rtx", None)
    with pytest.raises(UserError, match=r"does not load .*\[rtx-onnxruntime\]") as caught:
        open_backend(tmp_path / "model.onnx", device="rtx")
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (3, False)
    for name in ("register_execution_provider_library", "get_ep_devices"):
        assert hasattr(ort, name)
    assert hasattr(ort.SessionOptions, "add_provider_for_devices")
