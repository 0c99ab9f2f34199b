"""Bundles small enough to check by hand, and face videos made here."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from keras_ddl.edge.bundle import write_sums
from keras_ddl.edge.clipspec import ClipSpec

ROOT = Path(__file__).resolve().parents[2]
SLOPE, CENTER = 12.0, 0.45  # of the fixture model's logit over mean brightness
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def brightness_score(clips: np.ndarray) -> np.ndarray:
    """The fixture model in NumPy: sigmoid(SLOPE·(mean brightness − CENTER)) of (B, T, S, S, 3)."""
    mean = clips.astype(np.float64).mean(axis=(1, 2, 3, 4)) / 255.0
    return 1.0 / (1.0 + np.exp(-SLOPE * (mean - CENTER)))


def write_model(path: Path, spec: ClipSpec, *, metadata: str | None, with_map: bool = True) -> None:
    """Write the fixture model: `fake_probability` by brightness, the map is the mean channel."""
    onnx = pytest.importorskip("onnx")
    from onnx import helper

    shape = ("batch", spec.frames, spec.size, spec.size, 3)
    clip = helper.make_tensor_value_info("clip", onnx.TensorProto.UINT8, shape)
    score = helper.make_tensor_value_info("fake_probability", onnx.TensorProto.FLOAT, ("batch",))
    map_shape = shape[:4]
    heat = helper.make_tensor_value_info("inconsistency_map", onnx.TensorProto.FLOAT, map_shape)
    constants = {
        "peak": np.array(255.0, np.float32),
        "slope": np.array(SLOPE, np.float32),
        "center": np.array(CENTER, np.float32),
        "pixels": np.array([1, 2, 3, 4], np.int64),
        "channels": np.array([4], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["clip"], ["raw"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Div", ["raw", "peak"], ["x"]),
        helper.make_node("ReduceMean", ["x", "pixels"], ["mean"], keepdims=0),
        helper.make_node("Sub", ["mean", "center"], ["centered"]),
        helper.make_node("Mul", ["centered", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["fake_probability"]),
    ]
    outputs = [score]
    if with_map:
        inputs = ["x", "channels"]
        nodes.append(helper.make_node("ReduceMean", inputs, ["inconsistency_map"], keepdims=0))
        outputs.append(heat)
    values = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "brightness", [clip], outputs, values)
    opset = [helper.make_opsetid("", 18)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    if metadata is not None:
        helper.set_model_props(model, {"clipspec": metadata})
    onnx.checker.check_model(model)
    onnx.save(model, path)


def write_bundle(folder: Path, **changes: object) -> Path:
    """Write a bundle around the fixture model; `changes` go into its ClipSpec."""
    folder.mkdir(parents=True)
    fields: dict[str, object] = {
        "size": 64,
        "training": {"dataset": "synthetic"},
        "weights_sha256": hashlib.sha256(b"brightness").hexdigest(),
    }
    spec = ClipSpec(**{**fields, **changes})
    write_model(folder / "model.onnx", spec, metadata=spec.to_json())
    spec.write(folder / "clipspec.json")
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def brightness() -> Callable[[np.ndarray], np.ndarray]:
    """The fixture model's formula."""
    return brightness_score


@pytest.fixture(scope="session")
def make_model() -> Callable[..., None]:
    """Writes the fixture model with any metadata."""
    return write_model


@pytest.fixture(scope="session")
def make_bundle() -> Callable[..., Path]:
    """Writes a bundle with any ClipSpec."""
    return write_bundle


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """What the commands under test may see of this environment."""
    return clean_environment()


@pytest.fixture(scope="session")
def synthetic_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that says it was trained on synthetic faces."""
    return write_bundle(tmp_path_factory.mktemp("bundles") / "synthetic")


@pytest.fixture(scope="session")
def filmed_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that says it was trained on footage."""
    return write_bundle(
        tmp_path_factory.mktemp("bundles") / "filmed", training={"dataset": "someset"}
    )


@pytest.fixture(scope="session")
def face_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated portrait of 50 frames at 25 fps, 320x240, in the plain-folder layout."""
    from keras_ddl.data.synthetic import generate

    folder = tmp_path_factory.mktemp("portraits")
    generate(folder, identities={"test": 1}, seed=3)
    return next((folder / "test" / "real").glob("*.mp4"))


@pytest.fixture(scope="session")
def empty_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty frames of noise at 25 fps: nobody in sight."""
    from keras_ddl.edge.video import VideoWriter

    path = tmp_path_factory.mktemp("empty") / "noise.mp4"
    rng = np.random.default_rng(0)
    with VideoWriter(path, 25) as writer:
        for _ in range(50):
            writer.write(rng.integers(90, 110, (120, 160, 3), dtype=np.uint8))
    return path


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Run a file of deploy/ as a script from another folder, off the network."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")

    def run(script: str, *arguments: object, cwd: Path = elsewhere, **kwargs: object):
        line: Sequence[str] = [sys.executable, str(ROOT / "deploy" / script), *map(str, arguments)]
        return subprocess.run(
            line,
            cwd=cwd,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=60,
            **kwargs,
        )

    return run


def clean_environment() -> dict[str, str]:
    """This environment without a display, without a Python path, and with downloads forbidden."""
    hidden = ("PYTHONPATH", "DISPLAY", "WAYLAND_DISPLAY")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    return {**kept, "KERAS_DDL_OFFLINE": "1"}
