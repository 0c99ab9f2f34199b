"""Where a preset lies; the Hub is a server on loopback, spoken to by its own library."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path

import pytest

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.hub.address import FILES, located

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
HELD = {name: f"content of {name}".encode() for name in FILES}
OTHERS = {"train.py": b"print()", "pytorch_model.bin": b"pickle", "README.md": b"card"}


class Hub(BaseHTTPRequestHandler):
    """What huggingface_hub asks of a server for a snapshot: the listing, and each file."""

    def __init__(self, asked: list[str], *given: object) -> None:
        self.asked = asked
        super().__init__(*given)

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, body: bool = True) -> None:
        self.asked.append(self.path)
        files = {**HELD, **OTHERS}
        name = self.path.rpartition("/")[2].partition("?")[0]
        if self.path.startswith("/api/models/someone/detector/tree/"):
            rows = [
                {"type": "file", "path": one, "size": len(content), "oid": "0" * 40}
                for one, content in files.items()
            ]
            self._answer(json.dumps(rows).encode(), "application/json", body)
        elif self.path.startswith("/api/models/someone/detector"):
            siblings = [{"rfilename": one} for one in files]
            content = {"id": "someone/detector", "sha": COMMIT, "siblings": siblings}
            self._answer(json.dumps(content).encode(), "application/json", body)
        elif self.path.startswith(f"/someone/detector/resolve/{COMMIT}/") and name in files:
            self._answer(files[name], "application/octet-stream", body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _answer(self, content: bytes, kind: str, body: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *given: object) -> None:
        pass


@pytest.fixture
def asked() -> list[str]:
    return []


@pytest.fixture
def endpoint(asked: list[str]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, asked))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


FETCH = """
import sys
from keras_ddl.edge.errors import run_cli
from keras_ddl.hub.address import FILES, located
def body():
    preset = located(sys.argv[1])
    for name in FILES:
        print(preset.file(name).read_text())
    print(*sorted(path.name for path in preset.folder.iterdir()))
    return 0
sys.exit(run_cli(body))
"""


def fetch(address: str, endpoint: str, home: Path) -> subprocess.CompletedProcess[str]:
    # The library reads its endpoint once, when it is imported: a process of its own.
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "PYTHONPATH": str(ROOT)}
    quiet = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "NO_PROXY": "127.0.0.1"}
    line = [sys.executable, "-c", FETCH, address]
    environment = {**os.environ, **own, **quiet}
    return subprocess.run(line, capture_output=True, text=True, env=environment)


@pytest.mark.skipif(find_spec("huggingface_hub") is None, reason="needs huggingface_hub")
@pytest.mark.parametrize("address", ["hf://someone/detector", "hf://someone/detector@main"])
def test_a_repository_is_fetched_without_its_other_files(
    address: str, endpoint: str, asked: list[str], tmp_path: Path
) -> None:
    done = fetch(address, endpoint, tmp_path)
    *contents, listed = done.stdout.splitlines() or [done.stderr]
    assert contents == [content.decode() for content in HELD.values()], done.stderr
    assert listed == " ".join(sorted(HELD))
    assert asked and not any(name in path for path in asked for name in OTHERS)


@pytest.mark.skipif(find_spec("huggingface_hub") is None, reason="needs huggingface_hub")
def test_what_the_hub_does_not_have_is_one_line(endpoint: str, tmp_path: Path) -> None:
    done = fetch("hf://someone/nothing", endpoint, tmp_path)
    assert done.returncode == MISSING
    assert done.stderr.splitlines()[-1].startswith("error: cannot fetch hf://someone/nothing: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("module", "address"),
    [
        ("huggingface_hub", "hf://someone/detector"),
        ("kagglehub", "kaggle://someone/detector/keras/small"),
    ],
)
def test_a_library_that_is_missing_is_named(module: str, address: str, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as Python marks one that is not there
    with pytest.raises(UserError, match=rf"needs {module} .*pip install 'keras-ddl\[hub\]'") as got:
        located(address)
    assert got.value.exit_code == MISSING and "\n" not in str(got.value)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("hf://detector", "expected hf://OWNER/NAME or "),
        ("hf://../../etc", "expected hf://OWNER/NAME or "),
        ("hf://a/b/c", "expected hf://OWNER/NAME or "),
        ("kaggle://someone/detector", "expected kaggle://OWNER/MODEL/keras/VARIATION"),
        ("kaggle://someone/detector/pytorch/small", "expected kaggle://OWNER/MODEL/keras"),
        ("https://example.org/detector", r"expected a folder, hf://… or kaggle://…, received"),
        ("nowhere", "there is no folder nowhere"),
    ],
)
def test_other_addresses_are_refused(address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        located(address)


def test_links_out_of_a_folder_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("mine")
    folder = tmp_path / "preset"
    folder.mkdir()
    (folder / "config.json").symlink_to(secret)
    (folder / "own").write_text("{}")
    (folder / "metadata.json").symlink_to("own")
    preset = located(folder)
    assert preset.file("metadata.json").read_text() == "{}"
    with pytest.raises(UserError, match=r"config\.json is a link out of the preset"):
        preset.file("config.json")
    with pytest.raises(UserError, match=r"holds no clipspec\.json; make one with"):
        preset.file("clipspec.json")
