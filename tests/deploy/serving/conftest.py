"""A bundle written without `onnx`, which a device does not have, and real servers around it."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
pytest.importorskip("av")
pytest.importorskip("cv2")

from deploy import serve
from deploy.web.server import PageServer
from keras_ddl.edge.bundle import write_sums
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.video import read_video

SLOPE, CENTER = 12.0, 0.45  # as those of the fixture model in tests/deploy/conftest.py
FLOAT, UINT8, INT64, INT = 1, 2, 7, 2  # ONNX' numbers of element types, and of whole attributes
API = "/api/v1"


def varint(value: int) -> bytes:
    rest, low = value >> 7, value & 0x7F
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A protobuf message of (number, value)."""
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        else:
            data = value.encode() if isinstance(value, str) else value
            parts.append(varint(number << 3 | 2) + varint(len(data)) + data)
    return b"".join(parts)


def value_info(name: str, kind: int, shape: tuple[int | str, ...]) -> bytes:
    dims = [message((1 if isinstance(size, int) else 2, size)) for size in shape]
    tensor = message((1, kind), (2, message(*((1, dim) for dim in dims))))
    return message((1, name), (2, message((1, tensor))))


def tensor(name: str, value: np.ndarray) -> bytes:
    kind = FLOAT if value.dtype == np.float32 else INT64
    dims = [(1, size) for size in value.shape]
    return message(*dims, (2, kind), (8, name), (9, value.tobytes()))


def node(kind: str, inputs: list[str], output: str, **whole: int) -> bytes:
    attributes = [(5, message((1, n), (3, value), (20, INT))) for n, value in whole.items()]
    return message(*((1, name) for name in inputs), (2, output), (4, kind), *attributes)


def brightness_model(spec: ClipSpec) -> bytes:
    """The fixture model of tests/deploy: sigmoid(SLOPE·(mean brightness − CENTER)), and a map."""
    shape = ("batch", spec.frames, spec.size, spec.size, 3)
    constants = {
        "peak": np.array(255.0, np.float32),
        "slope": np.array(SLOPE, np.float32),
        "center": np.array(CENTER, np.float32),
        "pixels": np.array([1, 2, 3, 4], np.int64),
        "channels": np.array([4], np.int64),
    }
    nodes = [
        node("Cast", ["clip"], "raw", to=FLOAT),
        node("Div", ["raw", "peak"], "x"),
        node("ReduceMean", ["x", "pixels"], "mean", keepdims=0),
        node("Sub", ["mean", "center"], "centered"),
        node("Mul", ["centered", "slope"], "logit"),
        node("Sigmoid", ["logit"], "fake_probability"),
        node("ReduceMean", ["x", "channels"], "inconsistency_map", keepdims=0),
    ]
    graph = message(
        *((1, one) for one in nodes),
        (2, "brightness"),
        *((5, tensor(name, value)) for name, value in constants.items()),
        (11, value_info("clip", UINT8, shape)),
        (12, value_info("fake_probability", FLOAT, ("batch",))),
        (12, value_info("inconsistency_map", FLOAT, shape[:4])),
    )
    opset = message((1, ""), (2, 18))
    facts = message((1, "clipspec"), (2, spec.to_json()))
    return message((1, 9), (7, graph), (8, opset), (14, facts))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that says it was trained on footage."""
    folder = tmp_path_factory.mktemp("bundles") / "plain"
    folder.mkdir()
    digest = hashlib.sha256(b"brightness").hexdigest()
    spec = ClipSpec(size=64, training={"dataset": "someset"}, weights_sha256=digest)
    (folder / "model.onnx").write_bytes(brightness_model(spec))
    spec.write(folder / "clipspec.json")
    write_sums(folder)
    return folder


@pytest.fixture(scope="session")
def long_video(
    tmp_path_factory: pytest.TempPathFactory, face_video: Path, write_mp4: Callable[..., Path]
) -> Path:
    """The portrait over and over: judging it takes a while."""
    frames = [frame.image for frame in read_video(face_video)]
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    return write_mp4(path, frames * 5, crf=30)


@dataclass
class Client:
    """Real HTTP to a server.

    Args:
        server: It is up.
        folder: Its folder for what it does not keep is in there, and nothing else.
    """

    server: PageServer
    folder: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask; returns status, headers in lower case and body. `Host_` becomes "Host"."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        named = {name.strip("_").replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(connection):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, path, body, named)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return answer.status, told, answer.read()

    def json(self, path: str, status: int = 200, method: str = "GET", body: Any = None) -> Any:
        """The JSON of an answer that must have this status."""
        found, _, data = self.ask(path, method, body)
        assert found == status, data
        return json.loads(data) if data else None

    def send(self, body: bytes, name: str = "a.mp4", status: int = 202) -> Any:
        """Send a file."""
        return self.json(f"{API}/videos?name={quote(name, safe='')}", status, "POST", body)

    def wait(self, identity: str, *states: str) -> Any:
        """Wait until a video is in one of these states; done unless told otherwise."""
        end = time.monotonic() + 60
        while True:
            told = self.json(f"{API}/videos/{identity}")
            if told["state"] in (states or ("done",)):
                return told
            assert time.monotonic() < end, told
            time.sleep(0.03)

    def judge(self, body: bytes, name: str = "a.mp4") -> Any:
        """Send a file, and return its result."""
        identity = self.send(body, name)["id"]
        self.wait(identity)
        return self.json(f"{API}/videos/{identity}/result")


@pytest.fixture(scope="session")
def client() -> type[Client]:
    return Client


@pytest.fixture(scope="session")
def call(bundle: Path, haar: str) -> Callable[..., list[str]]:
    """Words of a command line that serves on a free port."""

    def words(*more: object) -> list[str]:
        fixed = ["--bundle", bundle, "--detector", haar, "--address", "127.0.0.1:0"]
        return [str(word) for word in (*fixed, *more)]

    return words


@contextlib.contextmanager
def serving(words: list[str], folder: Path) -> Iterator[Client]:
    """Serve as a command line says, with a folder for what is not kept."""
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        with serve.serving(serve.serve_parser().parse_args(words)) as server:
            tempfile.tempdir = before
            assert server is not None
            yield Client(server, folder)
    finally:
        tempfile.tempdir = before


@pytest.fixture
def start(
    call: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Client]]:
    """Serves with further words of a command line until the test ends; `start.one`: in a block."""
    with contextlib.ExitStack() as stack:

        def one(*more: object) -> contextlib.AbstractContextManager[Client]:
            return serving(call(*more), tmp_path_factory.mktemp("served"))

        def begin(*more: object) -> Client:
            return stack.enter_context(one(*more))

        begin.one = one  # type: ignore[attr-defined]
        yield begin


@pytest.fixture(scope="module")
def served(
    call: Callable[..., list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """One server for the tests of a file that leave it as it is."""
    folder = tmp_path_factory.mktemp("served")
    with serving(call("--max-mib", 1, "--allow-links"), folder) as client:
        yield client
