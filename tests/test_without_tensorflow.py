"""With NumPy alone, as on a bare machine: everything imports and every command answers --help.

Each check runs in a process of its own from which the heavy packages, and this project where it is
installed, have been taken away: what is left is a plain clone.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("keras_ddl", "export", "deploy")
ABSENT = """
    tensorflow keras tf_keras tensorflow_model_optimization onnx tf2onnx onnxruntime onnxslim
    cv2 av matplotlib tqdm tensorrt cuda sklearn scipy PIL starlette uvicorn anyio prometheus_client
    paho jinja2 markupsafe
""".split()

# Runs when Python starts. Absent means not found, as on a machine without the package.
TAKE_AWAY = f"""
import sys
from importlib.machinery import PathFinder

class WithoutHeavy(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        if fullname.partition(".")[0] in {ABSENT!r}:
            return None
        return super().find_spec(fullname, path, target)

sys.meta_path[:] = [WithoutHeavy if finder is PathFinder else finder for finder in sys.meta_path]
sys.path[:] = [folder for folder in sys.path if folder != {str(ROOT)!r}]
"""

NAMED = {  # the commands people are told about
    "-m keras_ddl.train",
    "-m keras_ddl.evaluate",
    "-m keras_ddl.ablation",
    "-m keras_ddl.compare",
    "-m keras_ddl.networks.model",
    "-m keras_ddl.import_released",
    "-m keras_ddl.demo",
    "-m keras_ddl.robustness",
    "-m keras_ddl.data.synthetic",
    "-m keras_ddl.data.prepare",
    "export/to_onnx.py",
    "export/to_trt.py",
    "deploy/score.py",
    "deploy/stream.py",
    "deploy/scan.py",
    "-m deploy.evidence",
}


def found_commands() -> set[str]:
    """How each runnable file is called: as a script beside its package's door, else by module."""
    commands = set()
    for path in (path for top in PACKAGES for path in (ROOT / top).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if path.name == "__main__.py":
            commands.add(f"-m {'.'.join(parts[:-1])}")
        elif '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
            is_script = parts[0] != "keras_ddl" and len(parts) == 2
            commands.add(f"{'/'.join(parts)}.py" if is_script else f"-m {'.'.join(parts)}")
    return commands


@pytest.fixture
def bare(tmp_path: Path):
    """Run Python without the heavy packages; return the finished process."""
    (tmp_path / "sitecustomize.py").write_text(TAKE_AWAY, encoding="utf-8")

    def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def test_the_packages_are_really_gone(bare):
    code = (
        "import importlib.util as u, sys\n"
        f"print([name for name in {ABSENT!r} if u.find_spec(name)], bool(u.find_spec('numpy')))"
    )
    assert bare("-c", code).stdout == "[] True\n"


def test_every_package_and_the_contract_import(bare):
    done = bare(
        "-c",
        "import keras_ddl, export, deploy\n"
        "import keras_ddl.config, keras_ddl.edge.clipspec, keras_ddl.edge.metrics\n"
        "print(keras_ddl.__version__)",
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.count(".") == 2


def test_a_layer_names_what_is_missing(bare):
    done = bare("-c", "from keras_ddl import DFDC")
    assert done.returncode == 1
    assert "No module named 'tensorflow'" in done.stderr


def test_the_commands_people_are_told_about_exist():
    assert found_commands() >= NAMED


@pytest.mark.parametrize("command", sorted(NAMED | found_commands()))
def test_help_needs_only_numpy(bare, command: str, tmp_path: Path):
    if command.startswith("-m "):
        done = bare(*command.split(), "--help")
    else:  # a script from a plain clone, called from another folder
        done = bare(str(ROOT / command), "--help", cwd=tmp_path)
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.startswith("usage: ")
