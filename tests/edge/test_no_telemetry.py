"""No library that this project imports tells anybody what is judged."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_ddl import QUIET

pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parents[2]
OPENED = """
import os, sys
from deploy.backends.ort import OrtBackend
from keras_ddl.edge.bundle import PRETRAINED
OrtBackend(PRETRAINED / "model.onnx").close()
print(os.environ["ORT_DISABLE_TELEMETRY"], sorted(os.listdir(os.environ["TMPDIR"])))
"""


def opened(folder: Path, **settings: str) -> str:
    """Open a model in a process whose surroundings name no choice; what it left in its TMPDIR."""
    known = {**QUIET, "CI": "", "GITHUB_ACTIONS": "", "ORT_RUNNING_UNIT_TESTS": ""}
    clean = {name: value for name, value in os.environ.items() if name not in known}
    environment = {**clean, "TMPDIR": str(folder), "HOME": str(folder), **settings}
    line = [sys.executable, "-c", OPENED]
    done = subprocess.run(line, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_onnx_runtime_begins_no_report(tmp_path: Path) -> None:
    assert opened(tmp_path) == "1 []"  # its reporter keeps a file .ses there


def test_what_a_user_has_set_stays(tmp_path: Path) -> None:
    assert opened(tmp_path, ORT_DISABLE_TELEMETRY="0").startswith("0 ")
