"""Bundles small enough to check by hand, face videos made here, and a real browser."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

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


class Browser:
    """Headless Chromium, spoken to by the DevTools protocol over two pipes."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            pytest.skip("needs chromium: scripts/services.sh")
        into_browser, self._to = os.pipe()
        self._from, out_of_browser = os.pipe()
        arguments = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        wired = f'exec "$@" 3<&{into_browser} 4>&{out_of_browser}'
        with (profile.parent / "chromium.log").open("wb") as noise:
            self._process = subprocess.Popen(
                ["bash", "-c", wired, "bash", *arguments],
                pass_fds=(into_browser, out_of_browser),
                stdin=subprocess.DEVNULL,
                stdout=noise,
                stderr=noise,
            )
        os.close(into_browser)
        os.close(out_of_browser)
        self._buffer = b""
        self._calls = 0
        self.requests: list[str] = []  # every address that a page asked for
        self.errors: list[str] = []  # what went to the console, and uncaught exceptions
        self._session = self._target = ""

    def open(self, address: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Open a page of its own at this size."""
        if self._target:
            self.call("Target.closeTarget", targetId=self._target)
        self._target = target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.requests.clear()
        self.errors.clear()
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, promises awaited."""
        done = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in done:
            raise AssertionError(done["exceptionDetails"])
        return done["result"].get("value")

    def wait(self, condition: str, seconds: float = 10.0) -> None:
        """Wait until an expression, or what it promises, is true in the page."""
        end = time.monotonic() + seconds
        attempt = f"(async () => {{ try {{ return Boolean(await ({condition})) }} catch {{}} }})()"
        while not self.run(attempt):
            text = self.run("document.body?.innerText")
            assert time.monotonic() < end, f"never true: {condition}\n{text}"
            time.sleep(0.05)

    def text(self, selector: str) -> str:
        """What a person reads there."""
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def screenshot(self, path: Path) -> None:
        """The whole page as PNG."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call the browser and wait for its answer; events on the way are noted."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": params}
        if self._session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._calls:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._from, 1 << 16)
            assert chunk, "chromium went away"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if event.get("sessionId") != self._session:
            return  # of a page before this one
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"]))

    def close(self) -> None:
        with contextlib.suppress(AssertionError, OSError):
            self.call("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; skips, saying how to get one, where there is none."""
    started = Browser(tmp_path_factory.mktemp("chromium") / "profile")
    yield started
    started.close()
