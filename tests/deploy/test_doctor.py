"""What the doctor says of machines that have much, little, and next to nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strict_cuda import StrictCuda
from strict_tensorrt import RTX, VERSIONS, StrictTensorRT

from deploy import doctor
from deploy.backends.gpu import Gpu
from deploy.backends.sidecar import EngineSidecar, read_sidecar, system_name
from deploy.bundle import open_bundle
from deploy.machine import machine_report
from deploy.machine.machine_report import devices, memory, opencv
from deploy.sources.csi import gstreamer
from keras_ddl.edge.bundle import PRETRAINED, write_sums
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.files import file_sha256

ROOT = Path(__file__).resolve().parents[2]
ORIN = Gpu("Orin", (8, 7))
CLIP = (4, 32, 32, 3)


def half(feed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    batch = len(feed["clip"])
    return {
        "fake_probability": np.full(batch, 0.5, np.float32),
        "inconsistency_map": np.zeros((batch, 4, 4, 4), np.float32),
    }


def give(monkeypatch: pytest.MonkeyPatch, version: str, found: list[Gpu]) -> StrictTensorRT:
    trt = StrictTensorRT(version, StrictCuda(), half)
    here, absent = ("tensorrt_rtx", "tensorrt") if version == RTX else ("tensorrt", "tensorrt_rtx")
    monkeypatch.setitem(sys.modules, here, trt.module)
    monkeypatch.setitem(sys.modules, absent, None)
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", trt.cuda.module)
    monkeypatch.setattr(doctor, "gpus", lambda: found)
    monkeypatch.setattr("deploy.backends.sidecar.first_gpu", lambda: found[0])
    return trt


def write_bundle(folder: Path, version: str = "", gpu: Gpu = ORIN) -> Path:
    """A bundle; with a version also an engine built by it."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(b"the model")
    spec = ClipSpec(frames=4, size=32, weights_sha256="a" * 64)
    spec.write(folder / "clipspec.json")
    write_sums(folder)
    if version:
        path = folder / "trt" / "model.fp16.engine"
        path.parent.mkdir()
        path.write_text(json.dumps({"profile": [[1, *CLIP]] * 3}), encoding="utf-8")
        EngineSidecar(
            file_sha256(path),
            "0" * 64,
            file_sha256(folder / "model.onnx"),
            "fp16",
            True,
            version,
            gpu.name,
            (gpu.compute_capability,),
            system_name(),
            {"min": 1, "opt": 1, "max": 1},
            metadata={"clipspec": spec.to_json()},
        ).write(path)
    return folder


def by_topic(report: doctor.Report) -> dict[str, Any]:
    return {line.topic: line for line in report.lines}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_machine_that_has_everything(tmp_path: Path, monkeypatch, version: str):
    trt = give(monkeypatch, version, [ORIN])
    report = doctor.examine(write_bundle(tmp_path / "b", version))
    found = by_topic(report)
    assert found["GPU"].text == "Orin (compute capability 8.7)"
    assert found["TensorRT"].text == version
    assert "GPU memory 512 of 1024 MiB free" in found["CUDA"].text
    assert found["DLA"].text == "2 cores"
    engine = tmp_path / "b" / "trt" / "model.fp16.engine"
    assert report.engines == {str(engine): ""}
    assert report.next_command.startswith(f"python deploy/stream.py --bundle {engine} --")
    assert trt.cuda.leaks == 0
    assert not trt.recorded("Runtime", "deserialize_cuda_engine")


def test_the_next_command_follows_from_what_there_is(tmp_path: Path, monkeypatch):
    give(monkeypatch, "10.3.0", [ORIN])
    assert doctor.examine(tmp_path / "absent").next_command == "make demo"
    bundle = write_bundle(tmp_path / "b")
    assert doctor.examine(bundle).next_command == f"python export/to_trt.py --fp16 {bundle}"
    foreign = write_bundle(tmp_path / "c", "10.3.0", Gpu("Thor", (11, 0)))
    report = doctor.examine(foreign)
    assert report.next_command == f"python export/to_trt.py --fp16 {foreign}"
    assert "was built for Thor" in by_topic(report)["engine"].text
    assert by_topic(report)["engine"].state == "warning"


def test_without_a_gpu_tensorrt_is_not_touched(tmp_path: Path, monkeypatch):
    trt = give(monkeypatch, "8.6.1", [])
    report = doctor.examine(write_bundle(tmp_path / "b", "8.6.1"))
    found = by_topic(report)
    assert found["GPU"].state == "no"
    assert "no GPU to use them on" in found["CUDA"].text
    assert "DLA" not in found
    assert "TensorRT or a GPU is missing" in found["engine"].text
    assert report.next_command.startswith(f"python deploy/stream.py --bundle {tmp_path / 'b'} ")
    assert trt.calls == [] and not trt.cuda.streams


def test_an_engine_of_tensorrt_rtx_is_judged_by_its_own_library(tmp_path: Path, monkeypatch):
    bundle = write_bundle(tmp_path / "b", "1.7.1.116")
    path = bundle / "trt" / "model.fp16.engine"
    portable = {"library": "rtx", "gpu": None, "compute_capabilities": ()}
    replace(read_sidecar(path), **portable).write(path)
    for capability, problem in (((8, 9), ""), ((9, 0), "was built for GPUs of compute capability")):
        trt = give(monkeypatch, RTX, [Gpu("GPU", capability)])
        report = doctor.examine(bundle)
        found = by_topic(report)
        assert (found["TensorRT"].state, found["TensorRT-RTX"].text) == ("no", "1.7.1.116")
        assert report.engines[str(path)].startswith(problem)
        assert bool(report.engines[str(path)]) == bool(problem)
        assert not trt.recorded("Runtime", "deserialize_cuda_engine")
    give(monkeypatch, "10.3.0", [ORIN])
    assert "TensorRT-RTX or a GPU is missing" in doctor.examine(bundle).engines[str(path)]


def test_the_screen_marks_every_line(tmp_path: Path, monkeypatch, capsys):
    give(monkeypatch, "10.3.0", [])
    assert doctor.main(["--bundle", str(tmp_path)]) == 0
    *rows, last = capsys.readouterr().out.splitlines()
    assert all(row[0] in "+-!" and row[1] == " " for row in rows)
    assert last == "next: make demo"


@pytest.mark.parametrize("with_packages", [True, False])
def test_it_runs_on_next_to_nothing_and_speaks_json(tmp_path: Path, with_packages: bool):
    path = str(ROOT)
    if not with_packages:
        for name in ("onnxruntime", "cv2", "av", "tensorrt", "tensorrt_rtx", "cuda"):
            (tmp_path / f"{name}.py").write_text(f"raise ImportError('{name}')", encoding="utf-8")
        path = f"{tmp_path}{os.pathsep}{path}"
    done = subprocess.run(
        [sys.executable, "-m", "deploy.doctor", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    report = json.loads(done.stdout)
    states = {line["topic"]: line["state"] for line in report["lines"]}
    assert report["next_command"].startswith(f"keras-ddl stream --bundle {PRETRAINED}")
    assert set(states.values()) <= {"yes", "no", "warning"}
    if not with_packages:
        bare = ("ONNX Runtime", "OpenCV", "encoder", "decoders")
        assert {states[name] for name in bare} == {"no"}


def test_memory_is_read_and_little_of_it_is_a_warning(tmp_path: Path):
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable: 2048000 kB\n")
    assert (memory(path).state, memory(path).text) == ("yes", "2000 of 7812 MiB free")
    path.write_text("MemTotal: 8000000 kB\nMemAvailable: 500000 kB\n")
    assert memory(path).state == "warning"
    assert memory(tmp_path / "absent").state == "warning"


def test_cameras_and_boards_are_listed(tmp_path: Path):
    assert [line.state for line in devices(tmp_path, tmp_path / "absent")] == ["no"]
    for name in ("video10", "video2", "video-codec", "null"):
        (tmp_path / name).touch()
    board = tmp_path / "model"
    board.write_text("NVIDIA Jetson Orin Nano\0")
    first, second = devices(tmp_path, board)
    assert (first.topic, first.text) == ("board", "NVIDIA Jetson Orin Nano")
    assert second.text == "/dev/video2, /dev/video10"


def test_gstreamer_is_read_from_the_build_information():
    assert gstreamer("  GStreamer:                   YES (1.20.3)") == "YES"
    assert gstreamer("  GStreamer:                   NO") == "NO"
    assert gstreamer("") == "absent"
    assert {line.topic for line in opencv()} == {"OpenCV", "encoder"}


def test_the_devices_that_could_decode_are_named_with_what_keeps_them(monkeypatch):
    monkeypatch.setattr(machine_report, "built_in", lambda: ["cuda", "vaapi", "qsv"])
    kept = {"cuda": "it cannot be opened (ENODEV)", "vaapi": "", "qsv": "none"}
    monkeypatch.setattr(machine_report, "why_not", kept.__getitem__)
    line = machine_report.decoders()
    assert line.state == "yes"
    assert line.text == "cpu, vaapi (cuda: it cannot be opened (ENODEV); qsv: none)"
    kept["vaapi"] = "gone"
    assert machine_report.decoders().state == "no"
    assert machine_report.decoders().text.startswith("cpu (cuda: it cannot")


def test_a_bundle_can_be_opened_through_its_engine(tmp_path: Path, monkeypatch):
    give(monkeypatch, "10.3.0", [ORIN])
    folder = write_bundle(tmp_path / "b", "10.3.0")
    bundle, backend = open_bundle(folder / "trt" / "model.fp16.engine")
    with backend:
        assert backend.name == "tensorrt 10.3.0 fp16 Orin"
        assert (bundle.path, bundle.model_id) == (folder, "a" * 12)
