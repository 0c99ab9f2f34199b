"""The same network is exported to the same bytes by two processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("tf2onnx")

ROOT = Path(__file__).resolve().parents[3]
EXPORT = """
import hashlib
from keras_ddl import build_model
from export.to_onnx import onnx_from_keras
model = build_model("compact_xception", frames=4, size=32, width=0.125)
random = __import__("numpy").random.default_rng(0)
for weight in model.weights:
    weight.assign(random.uniform(0.5, 1, weight.shape))
data = onnx_from_keras(model).SerializeToString(deterministic=True)
print("sha256", hashlib.sha256(data).hexdigest())
"""


@pytest.mark.slow
def test_two_exports_are_one_file():
    digests = set()
    for seed in ("1", "2"):  # of Python's own hashes
        done = subprocess.run(
            [sys.executable, "-c", EXPORT],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found = [line.split()[1] for line in done.stdout.splitlines() if "sha256" in line]
        assert len(found) == 1
        digests.update(found)
    assert len(digests) == 1
