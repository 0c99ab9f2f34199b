"""Fetching the model, against a server on this machine: right, wrong, slow and absent."""

from __future__ import annotations

import hashlib
import http.server
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces import yunet

CONTENT = bytes(range(256)) * 40


class Server(http.server.ThreadingHTTPServer):
    """Counts its requests; `/model` answers at once, `/slow` drips, `/moved` points at `/model`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.release = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/model")
            self.end_headers()
        elif self.path == "/model":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)
        elif self.path == "/slow":
            self.send_response(200)
            self.end_headers()
            while not self.server.release.wait(0.05):  # each byte in time, the whole never
                self.wfile.write(b"x")
                self.wfile.flush()
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.release.set()
        server.shutdown()
        thread.join()
        for other in threading.enumerate():  # transfers given up on end with the server
            if other.name == "fetch-yunet":
                other.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a model; the checksum is that of the server's file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in (yunet.OFFLINE_VARIABLE, yunet.MODEL_VARIABLE, "http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("path", ["/model", "/moved"])
def test_right_file_is_fetched_once(home: Path, server: Server, path: str) -> None:
    found = yunet.find_yunet(url=server.url + path)
    assert found == home / "keras_ddl" / yunet.FILE_NAME
    assert found.read_bytes() == CONTENT
    asked = len(server.requests)
    assert yunet.find_yunet(url=server.url + path) == found
    assert len(server.requests) == asked
    assert files(home) == [yunet.FILE_NAME]


def test_a_mirror_is_asked_where_one_is_named(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from deploy import doctor

    monkeypatch.setenv(yunet.URL_VARIABLE, f"{server.url}/model")
    assert yunet.look_for_yunet() is None and not server.requests
    assert doctor.main([]) == 0 and not server.requests
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one[2:].startswith("faces")]
    assert line.startswith(("! faces         Haar, which misses", "- faces         OpenCV 5"))
    assert "; YuNet is fetched by " in line
    assert doctor.main(["--fetch"]) == 0 and server.requests == ["/model"]
    assert f"+ faces         YuNet, {home / 'keras_ddl' / yunet.FILE_NAME}" in (
        capsys.readouterr().out
    )


def test_wrong_checksum_stores_nothing(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yunet, "SHA256", "0" * 64)
    with pytest.raises(UserError, match="SHA-256 000000000000") as caught:
        yunet.find_yunet(url=f"{server.url}/model")
    assert caught.value.exit_code == 3
    assert files(home) == []


def test_damaged_cache_is_fetched_again(
    home: Path, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    cached = home / "keras_ddl" / yunet.FILE_NAME
    cached.parent.mkdir()
    cached.write_bytes(CONTENT[:100])
    with caplog.at_level(logging.WARNING, "keras_ddl"):
        assert yunet.find_yunet(url=f"{server.url}/model").read_bytes() == CONTENT
    assert "checksum" in caplog.text


def test_a_dripping_server_is_left_in_time(home: Path, server: Server) -> None:
    start = time.monotonic()
    with pytest.raises(UserError, match=r"no answer within 0\.3 s"):
        yunet.fetch_yunet(home / "model.onnx", f"{server.url}/slow", timeout_s=0.3)
    assert time.monotonic() - start < 2
    assert files(home) == []


def test_refused_and_missing_are_one_line(home: Path, server: Server) -> None:
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        refused = f"http://127.0.0.1:{taken.getsockname()[1]}/model"
        for url, says in ((refused, "refused"), (f"{server.url}/absent", "Not Found")):
            with pytest.raises(UserError, match=says) as caught:
                yunet.find_yunet(url=url)
            assert "\n" not in str(caught.value)
    assert files(home) == []


def test_offline_asks_nobody(home: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(yunet.OFFLINE_VARIABLE, "1")
    with pytest.raises(UserError, match=yunet.OFFLINE_VARIABLE):
        yunet.find_yunet(url=f"{server.url}/model")
    assert server.requests == []
    monkeypatch.setenv(yunet.OFFLINE_VARIABLE, "0")
    assert yunet.find_yunet(url=f"{server.url}/model").is_file()


def test_a_cache_that_cannot_be_written_is_one_line(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "file"))
    with pytest.raises(UserError, match="cannot be stored"):
        yunet.find_yunet(url=f"{server.url}/model")


def test_auto_falls_back_to_haar_when_the_model_cannot_be_fetched(
    home: Path,
    server: Server,
    haar: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from keras_ddl.edge.faces.detect import open_detector

    monkeypatch.setattr(yunet, "URL", f"{server.url}/absent")
    with caplog.at_level(logging.INFO, "keras_ddl"):
        assert open_detector("auto").name == "haar"
    assert server.requests == ["/absent"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    for words in ("Haar, which misses", "Not Found", "doctor --fetch", yunet.MODEL_VARIABLE):
        assert words in record.getMessage()


def test_the_address_is_https_and_the_sum_is_the_published_one() -> None:
    assert yunet.URL.startswith("https://") and yunet.URL.endswith(yunet.FILE_NAME)
    assert yunet.SHA256 == "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
