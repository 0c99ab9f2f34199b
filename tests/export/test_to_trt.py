"""`export/to_trt.py` run as people run it: as a script, from any folder, on a bare machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.backends.machine import Gpu, first_gpu, gpus
from keras_ddl.clipspec import ClipSpec
from keras_ddl.errors import UserError

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
    (folder / "tensorrt.py").write_text(source, encoding="utf-8")
    return folder


@pytest.mark.parametrize("flags", [(), ("--fp32",), ("--fp16",), ("--int8",), ("--best",)], ids=str)
def test_a_missing_bundle_is_named_first(tmp_path: Path, flags: tuple[str, ...]):
    code, out, err = run(tmp_path, *flags)
    assert (code, out) == (3, "")
    assert f"'{Path('runs/latest/bundle')}'" in one_line(err)
    assert "export/to_onnx.py" in err


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
def test_tensorrt_that_does_not_load_is_one_line(tmp_path: Path, bundle: Path, failure: str):
    code, out, err = run(tmp_path, "--fp16", bundle, packages=fake_tensorrt(tmp_path, failure))
    assert (code, out) == (3, "")
    line = one_line(err)
    assert "TensorRT does not load" in line
    assert "'.[trt]'" in line and "JetPack" in line


def test_what_is_left_to_say_once_tensorrt_loads(tmp_path: Path, bundle: Path):
    packages = fake_tensorrt(tmp_path, "__version__ = '10.3.0'")
    code, out, err = run(tmp_path, "--best", bundle, packages=packages)
    assert (code, out) == (3, "")
    if gpus():
        assert "TensorRT 10.3.0" in one_line(err)
        assert "does not build best engines yet" in err
    else:
        assert "no NVIDIA GPU found" in one_line(err)


def test_two_precisions_are_a_usage_error(tmp_path: Path, bundle: Path):
    code, _, err = run(tmp_path, "--fp16", "--int8", bundle)
    assert code == 2
    assert "not allowed with" in err


def test_tensorflow_is_never_imported(tmp_path: Path, bundle: Path):
    blocker = fake_tensorrt(tmp_path, "__version__ = '11.4'")
    for name in ("tensorflow", "keras", "tf_keras"):
        (blocker / f"{name}.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    _, _, err = run(tmp_path, bundle, packages=blocker)
    assert "imported" not in one_line(err)


def test_no_driver_is_no_gpu():
    assert gpus("libno-such-driver.so.1") == []
    with pytest.raises(UserError, match="no NVIDIA GPU found") as caught:
        first_gpu("libno-such-driver.so.1")
    assert caught.value.exit_code == 3


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("devices", [0, 1, 2])
def test_gpus_are_what_the_driver_lists(tmp_path: Path, devices: int):
    source, driver = tmp_path / "driver.c", tmp_path / "libdriver.so"
    source.write_text(DRIVER_SOURCE, encoding="utf-8")
    build = ["cc", "-shared", "-fPIC", f"-DDEVICES={devices}", "-o", driver, source]
    subprocess.run(build, check=True)
    assert gpus(str(driver)) == [Gpu("Orin", (8, 7)), Gpu("Second", (8, 7))][:devices]


@pytest.mark.gpu
def test_the_real_driver_describes_its_gpu():
    gpu = first_gpu()
    assert gpu.name
    assert gpu.compute_capability >= (5, 0)
