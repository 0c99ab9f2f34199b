"""The webhook against real receivers on loopback: failing, hanging, verifying, coming back."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from deploy.backoff import Backoff
from deploy.sinks import Output
from deploy.sinks.http.http_post import Answer, HttpPost, retry_after_s
from deploy.sinks.http.signature import secret_from_environment, sign
from deploy.sinks.http.webhook import Webhook, is_refusal
from keras_ddl.edge.errors import UserError

ROOT = Path(__file__).resolve().parents[4]
DOCS = ROOT / "docs" / "outputs.md"
SECRET = b"a shared secret"


@dataclass
class Receiver:
    """An HTTP server that answers as told and remembers what it got."""

    port: int = 0
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # then 200 for ever
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    def __enter__(self) -> Receiver:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((dict(self.headers), body))
                status, headers = outer.answers.pop(0) if outer.answers else (200, {})
                if status < 300:
                    outer.taken.append(json.loads(body)["event"])
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *ignored: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def event(number: int, kind: str = "verdict") -> Output:
    return Output(({"type": kind, "event": f"e{number}", "source": "door", "verdict": "FAKE"},))


def names(*numbers: int) -> list[str]:
    return [f"e{number}" for number in numbers]


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come; the limit only keeps a broken test from hanging."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("it never came")
        time.sleep(0.01)


def hook(url: str, spool: Path, **options: Any) -> Webhook:
    options = {"secret": SECRET, "backoff": Backoff(0.01, 0.05), "timeout_s": 5.0, **options}
    sink = Webhook(url, spool, **options)
    sink.open()
    return sink


def test_verdicts_arrive_in_order_and_nothing_else_does(receiver: Receiver, tmp_path: Path) -> None:
    with hook(receiver.url, tmp_path) as sink:
        for number in range(20):
            sink.write(event(number))
            sink.write(event(number, "clip"))
        until(lambda: len(receiver.taken) >= 20)  # closing waits for 2 s only
    assert receiver.taken == names(*range(20))
    headers, body = receiver.requests[0]
    assert json.loads(body) == dict(event(0).records[0])
    assert headers["Content-Type"] == "application/json"
    assert not list(tmp_path.rglob("*.json"))


def test_500_503_and_429_are_tried_again_and_order_is_kept(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers += [(500, {}), (503, {"Retry-After": "0"}), (429, {}), (408, {}), (200, {})]
    receiver.answers += [(302, {"Location": "/login"})]
    sink = hook(receiver.url, tmp_path)
    for number in range(3):
        sink.write(event(number))
    until(lambda: receiver.taken == names(0, 1, 2))
    sink.close()
    sent = [headers["X-Keras-DDL-Event"] for headers, _ in receiver.requests]
    assert sent == names(0, 0, 0, 0, 0, 1, 1, 2)
    trouble = [record.getMessage() for record in caplog.records]
    assert [("tried again" in text, "takes events again" in text) for text in trouble] == [
        (True, False),
        (False, True),
    ] * 2


def test_a_refused_event_does_not_block_those_behind_it(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers += [(200, {}), (422, {}), (404, {})]
    sink = hook(receiver.url, tmp_path)
    for number in range(4):
        sink.write(event(number))
    until(lambda: receiver.taken == names(0, 3))
    sink.close()
    aside = sorted(tmp_path.glob("*/refused/*.json"))
    assert [json.loads(path.read_text())["event"] for path in aside] == names(1, 2)
    assert len([r for r in caplog.records if "refused an event" in r.getMessage()]) == 2


@pytest.mark.parametrize(
    ("status", "never"),
    [
        *[(status, True) for status in (400, 401, 403, 404, 410, 413, 422)],
        *[(status, False) for status in (302, 408, 425, 429, 500, 502, 503)],
    ],
)
def test_which_answers_mean_never(status: int, never: bool) -> None:
    assert is_refusal(Answer(status, "")) is never


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("Thu, 01 Jan 1970 00:16:50 GMT", 10.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),  # already over
        ("soon", None),
        ("-5", None),
    ],
)
def test_retry_after_is_read(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, now=1000.0) == seconds


def test_retry_after_is_heeded_up_to_an_hour(tmp_path: Path) -> None:
    sink = Webhook("http://127.0.0.1:9/", tmp_path, SECRET, backoff=Backoff(1, 1, lambda: 0.0))
    assert sink._again("503", None) == 1.0
    assert sink._again("503", 30.0) == 30.0
    assert sink._again("503", 0.2) == 1.0
    assert sink._again("503", 10.0**6) == 3600.0


def recipe() -> dict[str, Any]:
    """What docs/outputs.md tells a receiver to write."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_a_receiver_verifies_by_the_documented_recipe(receiver: Receiver, tmp_path: Path) -> None:
    with hook(receiver.url, tmp_path) as sink:
        sink.write(event(1))
        until(lambda: bool(receiver.taken))
    headers, body = receiver.requests[0]
    is_genuine = recipe()["is_genuine"]
    assert is_genuine(SECRET, headers, body)
    assert not is_genuine(SECRET, headers, body.replace(b"FAKE", b"REAL"))
    assert not is_genuine(b"another secret", headers, body)
    stamp = headers["X-Keras-DDL-Timestamp"]
    assert abs(int(stamp) - time.time()) < 300
    assert not is_genuine(SECRET, {**headers, "X-Keras-DDL-Timestamp": str(int(stamp) + 1)}, body)
    old = {"X-Keras-DDL-Timestamp": "1000", "X-Keras-DDL-Signature": sign(SECRET, 1000, body)}
    assert not is_genuine(SECRET, {**headers, **old}, body)  # genuine once, replayed now
    message = stamp.encode() + b"." + body
    expected = hmac.new(SECRET, message, hashlib.sha256).hexdigest()
    assert headers["X-Keras-DDL-Signature"] == f"sha256={expected}"


def test_openssl_computes_the_same_signature() -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    line = ["openssl", "dgst", "-sha256", "-hmac", SECRET.decode(), "-r"]
    done = subprocess.run(line, input=b'1700000000.{"a":1}', capture_output=True, check=True)
    assert sign(SECRET, 1700000000, b'{"a":1}') == f"sha256={done.stdout.split()[0].decode()}"


def test_without_a_secret_it_says_so_and_sends_unsigned(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hook(receiver.url, tmp_path, secret=b"") as sink:
        sink.write(event(1))
        until(lambda: bool(receiver.taken))
    assert "X-Keras-DDL-Signature" not in receiver.requests[0][0]
    assert "KERAS_DDL_WEBHOOK_SECRET" in caplog.text


def test_the_secret_comes_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KERAS_DDL_WEBHOOK_SECRET", raising=False)
    monkeypatch.delenv("KERAS_DDL_WEBHOOK_SECRET_FILE", raising=False)
    assert secret_from_environment() == b""
    monkeypatch.setenv("KERAS_DDL_WEBHOOK_SECRET", "from the environment")
    assert secret_from_environment() == b"from the environment"
    (tmp_path / "secret").write_text("from a file\n")
    monkeypatch.setenv("KERAS_DDL_WEBHOOK_SECRET_FILE", str(tmp_path / "secret"))
    assert secret_from_environment() == b"from a file"
    (tmp_path / "secret").write_text("\n")
    with pytest.raises(UserError, match="it is empty"):
        secret_from_environment()
    monkeypatch.setenv("KERAS_DDL_WEBHOOK_SECRET_FILE", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="expected a readable file"):
        secret_from_environment()


class Deaf:
    """A server that accepts and then does what `manner` does with the connection."""

    def __init__(self, manner: Callable[[socket.socket], None]) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/"
        self.accepted: list[socket.socket] = []
        self._manner = manner
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.listening.accept()
            except OSError:
                return
            self.accepted.append(link)
            threading.Thread(target=self._manner, args=(link,), daemon=True).start()

    def close(self) -> None:
        self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        self._thread.join()
        for link in self.accepted:
            link.close()


def trickle(link: socket.socket) -> None:
    """Begin an answer that never ends, a byte now and then."""
    try:
        link.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            link.sendall(b"z")
            time.sleep(0.02)
    except OSError:
        return


@pytest.mark.parametrize("manner", [lambda link: None, trickle], ids=["never reads", "trickles"])
def test_a_receiver_that_hangs_times_out(manner: Callable[[socket.socket], None]) -> None:
    with closing(Deaf(manner)) as deaf:
        post = HttpPost(deaf.url, 0.2)
        with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s|timed out"):
            post.send(b"{}" + b" " * 8_000_000, {})  # more than the system's buffers take


def test_a_hanging_receiver_neither_delays_writing_nor_closing(tmp_path: Path) -> None:
    with closing(Deaf(lambda link: None)) as deaf:
        sink = hook(deaf.url, tmp_path, timeout_s=300.0)
        for number in range(3):
            sink.write(event(number))
        until(lambda: bool(deaf.accepted))
        sink.close()
        sink.close()
        assert not sink._thread.is_alive()
    assert len(list(tmp_path.rglob("*.json"))) == 3


def test_garbage_instead_of_http_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def babble(link: socket.socket) -> None:
        with suppress(OSError):  # the sender may have hung up
            link.recv(10_000)
            link.sendall(b"220 mail.example \x1b[31m ESMTP\r\n" + b"x" * 5000)
            link.shutdown(socket.SHUT_RDWR)

    with closing(Deaf(babble)) as deaf:
        sink = hook(deaf.url, tmp_path)
        sink.write(event(1))
        until(lambda: len(deaf.accepted) >= 2)
        sink.close()
    assert len(list(tmp_path.rglob("*.json"))) == 1
    said = caplog.records[0].getMessage()
    assert "220 mail.example [31m ESMTP; events wait" in said
    assert said.isprintable()


def test_what_nobody_took_is_delivered_by_the_next_run(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    with hook(url, tmp_path) as sink:
        for number in range(5):
            sink.write(event(number))
    with Receiver(port) as receiver:
        with hook(url, tmp_path) as sink:
            sink.write(event(5))
            until(lambda: len(receiver.taken) == 6)
    assert receiver.taken == names(*range(6))


def test_another_address_does_not_get_what_waits_for_this_one(
    receiver: Receiver, tmp_path: Path
) -> None:
    with hook(f"http://127.0.0.1:{free_port()}/", tmp_path) as sink:
        sink.write(event(1))
    with hook(receiver.url, tmp_path) as sink:
        sink.write(event(2))
        until(lambda: bool(receiver.taken))
    assert receiver.taken == names(2)


def test_a_new_password_does_not_strand_what_waits(receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers += [(503, {})] * 1000
    sink = hook(receiver.url.replace("://", "://user:old@") + "?key=old", tmp_path)
    sink.write(event(1))
    until(lambda: bool(receiver.requests))
    sink.close()
    receiver.answers.clear()
    with hook(receiver.url.replace("://", "://user:new@") + "?key=new", tmp_path):
        until(lambda: receiver.taken == names(1))


SENDER = """
import sys
from pathlib import Path
from deploy.sinks import Output
from deploy.backoff import Backoff
from deploy.sinks.http.webhook import Webhook
sink = Webhook(sys.argv[1], Path(sys.argv[2]), b"s", backoff=Backoff(0.01, 0.05))
sink.open()
number = 0
while True:
    number += 1
    record = {"type": "verdict", "event": f"e{number}", "source": "door", "verdict": "FAKE"}
    sink.write(Output((record,)))
    print(number, flush=True)
"""


@pytest.mark.parametrize("up", [False, True], ids=["receiver down", "receiver up"])
def test_kill_9_of_the_sender_loses_no_event(tmp_path: Path, up: bool) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/hook"
    line = [sys.executable, "-c", SENDER, url, str(tmp_path)]
    receiver = Receiver(port)
    if up:
        receiver.__enter__()
    with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as sender:
        for _ in range(40):
            sender.stdout.readline()
        os.kill(sender.pid, signal.SIGKILL)
        last = 40 + len(sender.stdout.read().splitlines())
    if not up:
        receiver.__enter__()
    before = len(receiver.taken)
    with hook(url, tmp_path) as sink:
        until(lambda: not list(tmp_path.rglob("*.json")))
    receiver.__exit__()
    assert (before > 0) is up
    once = list(dict.fromkeys(receiver.taken))
    assert once[:last] == names(*range(1, last + 1))
    assert len(once) <= last + 1  # one may have been written and not yet said
    assert len(receiver.taken) - len(once) <= 1  # the one under way when it was killed
    assert sink._spool.lost == 0


def test_https_with_a_certificate_of_ones_own(tmp_path: Path, own_certificate: Path) -> None:
    with Receiver() as receiver:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(own_certificate)
        receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
        url = receiver.url.replace("http://127.0.0.1", "https://localhost")
        with pytest.raises(ssl.SSLCertVerificationError):
            HttpPost(url, 5.0).send(b"{}", {})
        with hook(url, tmp_path / "s", ca=own_certificate) as sink:
            sink.write(event(1))
            until(lambda: receiver.taken == names(1))
    with pytest.raises(UserError, match="expected a PEM file in"):
        Webhook(url, tmp_path, ca=tmp_path / "absent.pem")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/", "neither http nor https"),
        ("http:///path", "no host"),
        ("http://user:s3cret", "host or port"),
        ("https://[::1/path", "host or port"),
        ("http://a..b/", "host or port"),
        ("http://host:99999/", "port cannot be read"),
        ("http://ho st/", "space"),
        ("example.com/hook", "neither http nor https"),
    ],
)
def test_impossible_addresses_are_an_error(url: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"expected http.*{words}") as caught:
        Webhook(url, tmp_path)
    assert "s3cret" not in str(caught.value)


def test_credentials_are_sent_and_never_logged(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answers += [(500, {}), (404, {})]
    url = receiver.url.replace("://", "://user:s3cret%40word@").replace("/hook", "/t0ken?key=abc")
    with hook(url, tmp_path) as sink:
        sink.write(event(1))
        until(lambda: len(receiver.requests) == 2)
        sink.write(event(2))
        until(lambda: receiver.taken == names(2))
    assert receiver.requests[0][0]["Authorization"] == "Basic dXNlcjpzM2NyZXRAd29yZA=="
    assert len(caplog.records) >= 2
    for secret in ("s3cret", "t0ken", "abc", SECRET.decode()):
        assert secret not in caplog.text
    assert not [path for path in tmp_path.rglob("*") if "s3cret" in str(path)]
