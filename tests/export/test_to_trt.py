"""`export/to_trt.py` run as people run it: as a script, from any folder, on a bare machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deploy.backends import gpu
from deploy.backends.gpu import Gpu, first_gpu, gpus
from keras_ddl.edge.bundle import write_sums
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError

SCRIPT = Path(__file__).resolve().parents[2] / "export" / "to_trt.py"

# A CUDA driver with `devices` GPUs, or one that finds none as the real one says it: code 100.
DRIVER_SOURCE = """
int cuInit(unsigned flags) { return DEVICES ? 0 : 100; }
int cuDeviceGetCount(int *count) { *count = DEVICES; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return index < DEVICES ? 0 : 101; }
int cuDeviceGetName(char *name, int length, int device) {
    const char *text = device ? "Second" : "Orin";
    int i = 0;
    for (; text[i] && i < length - 1; i++) name[i] = text[i];
    name[i] = 0;
    return 0;
}
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 7 : -1;
    return 0;
}
"""


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"not looked into")
    (folder / "clipspec.json").write_text(ClipSpec().to_json(), encoding="utf-8")
    write_sums(folder)
    return folder


def run(cwd: Path, *arguments: object, packages: Path | None = None) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the script; `packages` comes before the installed ones."""
    environment = {**os.environ, "PYTHONPATH": str(packages or "")}
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def one_line(text: str) -> str:
    """The only line of an error message."""
    (line,) = text.splitlines()
    assert line.startswith("error: ")
    return line


def fake_tensorrt(folder: Path, source: str) -> Path:
    """TensorRT as the source says, and no TensorRT-RTX, which would build."""
    (folder / "tensorrt.py").write_text(source, encoding="utf-8")
    (folder / "tensorrt_rtx.py").write_text("raise ImportError('none')", encoding="utf-8")
    return folder


def no_tensorrt(folder: Path) -> Path:
    return fake_tensorrt(folder, "raise ImportError('none')")


@pytest.mark.parametrize("flags", [(), ("--fp32",), ("--fp16",), ("--int8",), ("--best",)], ids=str)
def test_a_missing_bundle_is_named_first(tmp_path: Path, flags: tuple[str, ...]):
    code, out, err = run(tmp_path, *flags)
    assert (code, out) == (3, "")
    assert f"'{Path('runs/latest/bundle')}'" in one_line(err)
    assert "to-onnx" in err


def test_an_unreadable_spec_is_bad_input(tmp_path: Path, bundle: Path):
    (bundle / "clipspec.json").write_text("{", encoding="utf-8")
    code, _, err = run(tmp_path, "--fp16", bundle)
    assert code == 2
    assert "clipspec.json" in one_line(err)


@pytest.mark.parametrize(
    "failure",
    [
        "raise ModuleNotFoundError('No module named tensorrt')",
        "raise ImportError('libnvinfer.so.10: cannot open shared object file')",
        "raise OSError('libnvinfer.so.10: wrong ELF class\\nsecond line')",
    ],
)
def test_tensorrt_that_does_not_load_is_one_line(tmp_path: Path, tiny_bundle: Path, failure: str):
    code, out, err = run(tmp_path, "--fp16", tiny_bundle, packages=fake_tensorrt(tmp_path, failure))
    line = one_line(err)
    assert code == 3
    assert f"prepared in '{tiny_bundle / 'trt'}', but not built: TensorRT does not load" in line
    assert "'.[trt]'" in line and "JetPack" in line
    assert "float16 except" in out and "14 rules kept" in out
    assert "without a GPU too: pip install -e '.[rtx]'" in line


def test_the_plan_and_the_graph_are_left_for_the_target(tmp_path: Path, tiny_bundle: Path):
    arguments = ("--fp16", "--max-batch", 4, "--tensorrt", "8.6", "--workspace", 256)
    assert run(tmp_path, *arguments, tiny_bundle, packages=no_tensorrt(tmp_path))[0] == 3
    folder = tiny_bundle / "trt"
    plan = json.loads((folder / "plan.fp16.json").read_text(encoding="utf-8"))
    assert plan["typing"] == "by flags"
    assert plan["flags"] == ["BuilderFlag.FP16", "BuilderFlag.OBEY_PRECISION_CONSTRAINTS"]
    assert {"top", "map", "sigmoid"} <= set(plan["float32_nodes"])
    assert plan["profile"]["min"] == {"clip": [1, 4, 32, 32, 3]}
    assert plan["profile"]["max"] == {"clip": [4, 4, 32, 32, 3]}
    assert "--max-batch 4" in plan["commands"]["build"]
    assert "maxShapes=clip:4x4x32x32x3 --memPoolSize=workspace:256" in plan["commands"]["trtexec"]
    graph = folder / "model.fp16.onnx"
    assert plan["onnx_sha256"] == hashlib.sha256(graph.read_bytes()).hexdigest()
    assert sorted(path.name for path in folder.iterdir()) == ["model.fp16.onnx", "plan.fp16.json"]


def test_int8_wants_clips_or_a_quantised_bundle(
    tmp_path: Path, tiny_bundle: Path, tiny_clips: Path
):
    packages = no_tensorrt(tmp_path)
    code, _, err = run(tmp_path, "--int8", tiny_bundle, packages=packages)
    assert code == 3
    assert "--calibration FILE.npz" in one_line(err)
    arguments = ("--int8", "--calibration", tiny_clips, "--tensorrt", "10.13")
    code, out, err = run(tmp_path, *arguments, tiny_bundle, packages=packages)
    assert code == 3
    assert "int8: 9" in out and "on 3 clips of clips.npz" in out
    assert "not built: TensorRT does not load" in one_line(err)
    plan = json.loads((tiny_bundle / "trt" / "plan.int8.json").read_text(encoding="utf-8"))
    assert (plan["opset"], plan["typing"]) == (19, "strong")
    assert f"--calibration {tiny_clips}" in plan["commands"]["build"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--min-batch", 4, "--max-batch", 2), 2, "min <= opt <= max"),
        (("--opt-level", 9), 2, "--opt-level 0 to 5"),
        (("--tensorrt", "newest"), 2, "a TensorRT version such as 10.3"),
        (("--calibration", "absent.npz"), 2, "'absent.npz': No such file"),
        (("--tolerance", "0", "--tensorrt", "11.4"), 4, "does not keep the answer"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, tiny_bundle: Path, arguments: tuple[object, ...], code: int, words: str
):
    found = run(tmp_path, *arguments, tiny_bundle, packages=no_tensorrt(tmp_path))
    assert found[0] == code
    assert words in one_line(found[2])
    assert not (tiny_bundle / "trt" / "model.fp16.onnx").exists()


def test_clips_of_another_shape_are_refused(tmp_path: Path, tiny_bundle: Path):
    path = tmp_path / "other.npz"
    np.savez(path, clips=np.zeros((2, 8, 32, 32, 3), np.uint8))
    code, _, err = run(tmp_path, "--calibration", path, tiny_bundle, packages=no_tensorrt(tmp_path))
    assert code == 2
    assert "uint8 (N, 4, 32, 32, 3) as the bundle says, received uint8 (2, 8, 32, 32, 3)" in err


def test_a_model_that_is_none_is_bad_input(tmp_path: Path, bundle: Path):
    pytest.importorskip("onnx")
    code, _, err = run(tmp_path, bundle, packages=no_tensorrt(tmp_path))
    assert code == 2
    assert "expected an ONNX model" in one_line(err)


def test_two_precisions_are_a_usage_error(tmp_path: Path, bundle: Path):
    code, _, err = run(tmp_path, "--fp16", "--int8", bundle)
    assert code == 2
    assert "not allowed with" in err


def test_tensorflow_is_never_imported(tmp_path: Path, tiny_bundle: Path, tiny_clips: Path):
    blocker = no_tensorrt(tmp_path)
    for name in ("tensorflow", "keras", "tf_keras"):
        (blocker / f"{name}.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    code, _, err = run(
        tmp_path, "--best", "--calibration", tiny_clips, tiny_bundle, packages=blocker
    )
    assert code == 3
    assert "imported" not in one_line(err)


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpu, "DRIVER", "libno-such-driver.so.1")
    assert gpus() == []
    with pytest.raises(UserError, match="no NVIDIA GPU found") as caught:
        first_gpu()
    assert caught.value.exit_code == 3


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("devices", [0, 1, 2])
def test_gpus_are_what_the_driver_lists(
    tmp_path: Path, devices: int, monkeypatch: pytest.MonkeyPatch
):
    source, driver = tmp_path / "driver.c", tmp_path / "libdriver.so"
    source.write_text(DRIVER_SOURCE, encoding="utf-8")
    build = ["cc", "-shared", "-fPIC", f"-DDEVICES={devices}", "-o", driver, source]
    subprocess.run(build, check=True)
    monkeypatch.setattr(gpu, "DRIVER", str(driver))
    assert gpus() == [Gpu("Orin", (8, 7)), Gpu("Second", (8, 7))][:devices]


@pytest.mark.gpu
def test_the_real_driver_describes_its_gpu():
    found = first_gpu()
    assert found.name
    assert found.compute_capability >= (5, 0)
