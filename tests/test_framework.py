"""Real processes and the real file descriptor 2: what a user reads of TensorFlow's start."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVEL = "TF_CPP_MIN_LOG_LEVEL"
needs_tensorflow = pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs tensorflow")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != LEVEL}
    path = os.pathsep.join([variables.pop("PYTHONPATH", ""), str(ROOT)])
    environment = {**kept, "PYTHONPATH": path, **variables}
    line = [sys.executable, *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=environment, check=False)


HOLDING = """
import os, re, sys
from keras_ddl.framework import held_stderr
for failure in (False, True):
    try:
        with held_stderr(re.compile(b"^I")):
            os.write(2, b"I found nothing\\nE one\\n")
            print("E two", file=sys.stderr)
            os.write(2, b"I am done\\nE three")
            if failure:
                raise ValueError
    except ValueError:
        os.write(2, b"\\nE failed")
    os.write(2, b"\\nI am back\\n")
"""


@needs_tensorflow
def test_what_is_held_comes_after_all_less_what_is_dropped() -> None:
    held = "E one\nE two\nE three\n"
    assert run("-c", HOLDING).stderr == f"{held}I am back\n{held}E failed\nI am back\n"


@needs_tensorflow
def test_a_command_writes_its_own_lines_alone(flicker_set: Path, tmp_path: Path) -> None:
    options = ["--prepared", str(flicker_set), "--out", str(tmp_path / "run")]
    done = run("-m", "keras_ddl.train", *options, "--set", "frames=4", "size=64")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {flicker_set} is cut with size 32")


@needs_tensorflow
@pytest.mark.slow
def test_level_0_shows_all_of_it() -> None:
    done = run("-c", "import keras_ddl.framework", **{LEVEL: "0"})
    assert "absl::InitializeLog" in done.stderr


COMPLAINING = """
import os
os.write(2, b"W0000 a real one\\nI0000 nothing\\n")
raise ImportError("not whole")
"""


@needs_tensorflow
@pytest.mark.slow
def test_a_failing_import_shows_its_warnings(tmp_path: Path) -> None:
    (tmp_path / "tf_keras.py").write_text(COMPLAINING)
    code = "import keras_ddl.edge.errors as e; e.run_cli(lambda: __import__('keras_ddl.framework'))"
    *warnings, error = run("-c", code, PYTHONPATH=str(tmp_path)).stderr.splitlines()
    assert set(warnings) == {"W0000 a real one"}  # TensorFlow tries it, too
    assert error.startswith("error: this command needs TensorFlow and tf_keras (not whole)")


BAD_PICTURE = """
from keras_ddl.framework import tf
data = tf.io.encode_jpeg(tf.zeros((64, 64, 3), tf.uint8)).numpy()
try:
    tf.io.decode_jpeg(data[:-40])
except tf.errors.InvalidArgumentError:
    pass
"""


@needs_tensorflow
def test_tensorflows_errors_after_the_import_are_shown() -> None:
    lines = run("-c", BAD_PICTURE).stderr.splitlines()
    assert "Premature end of JPEG data" in lines[0]
    assert all(line[0] in "EW" for line in lines)
