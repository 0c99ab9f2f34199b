"""Links: which addresses are fetched from, and what comes of what is behind them."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.serving import fetch
from deploy.serving.addresses import RefusedError, is_public, read_target, redirected, resolve
from deploy.serving.fetch import Fetcher, FetchError
from deploy.serving.job import Job
from deploy.serving.limits import Limits

Answers = dict[str, tuple[int, dict[str, str], bytes]]


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.3.4", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
        *("100.64.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "240.0.0.1"),
        *("::1", "::", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1"),
        *("64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::1", "nonsense"),
        *("fec0::1", "3fff::1", "192.0.0.8", "192.88.99.1", "168.63.129.16"),
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:8.8.8.8"])
def test_what_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"]
)
def test_a_host_of_this_machine_is_refused_however_it_is_written(host: str) -> None:
    target = read_target(f"http://{host}/x.mp4")
    with pytest.raises(RefusedError, match=r"not on the public internet|nobody knows"):
        resolve(target, private=False)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "http://"),
        ("ftp://here.example/x", "http://"),
        ("//here.example/x", "http://"),
        ("http:///x", "a host"),
        ("http://here.example:99999/", "cannot be read"),
        ("http://user:secret@here.example/", "without user name"),
        ("http://here.example/a b", "without spaces"),
        ("http://here.example/\r\nHost: other", "without spaces"),
        ("http://here.example/" + "x" * 3000, "at most 2048"),
        ("http://here.example/#\ud800", "without spaces"),  # half a character, as JSON may have it
    ],
)
def test_what_is_no_link_is_told_so(url: str, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        read_target(url)
    assert "secret" not in str(caught.value)


def test_a_redirect_is_read_like_a_link_and_does_not_leave_tls() -> None:
    target = read_target("https://here.example/a/b?x=1")
    assert redirected(target, "../c").url == "https://here.example/c"
    for location in ("http://here.example/", "file:///etc/passwd", "http://[::1", "//[x]/"):
        with pytest.raises(RefusedError):
            redirected(target, location)


@pytest.fixture
def site() -> Iterator[Callable[[Answers], Any]]:
    """Runs web servers on loopback that answer as they are told."""
    servers = []

    def run(answers: Answers) -> Any:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                status, headers, body = answers[self.path]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server: Any = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        server.asked = []
        server.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield run
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def job(tmp_path: Path) -> Callable[[str], Job]:
    return lambda link: Job("x", "x", "link", "", tmp_path, link)


def test_a_file_is_fetched_through_redirects(site: Any, job: Any) -> None:
    answers: Answers = {"/b.mp4?x=1": (200, {}, b"video" * 1000)}
    server = site(answers)
    answers["/a"] = (302, {"Location": f"{server.address}/b.mp4?x=1"}, b"")
    fetched = job(f"{server.address}/a")
    Fetcher(Limits(), private=True).fetch(fetched)
    assert fetched.video.read_bytes() == b"video" * 1000
    assert (fetched.size, fetched.share) == (5000, 1.0)


def test_a_redirect_into_this_network_is_refused_and_not_asked(
    site: Any, job: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = site({"/secret": (200, {}, b"secret")})
    outside = site({"/a": (302, {"Location": f"{inside.address}/secret"}, b"")})
    real = fetch.resolve

    def first_one_is_public(target: Any, private: bool) -> Any:
        there = target.port == outside.server_port
        return ("127.0.0.1", target.port) if there else real(target, private)

    monkeypatch.setattr(fetch, "resolve", first_one_is_public)
    with pytest.raises(FetchError, match="not on the public internet"):
        Fetcher(Limits()).fetch(job(f"{outside.address}/a"))
    assert (outside.asked, inside.asked) == (["/a"], [])


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((404, {}, b""), "the server answered 404"),
        ((200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>"), "to a web page"),
        ((200, {"Content-Length": "2000000"}, b"x"), "at most 1.0 MiB, received 1.9 MiB"),
        ((200, {"Content-Length": "20"}, b"x"), "broke off after 1 of 20 bytes"),
        ((302, {"Location": "/a"}, b""), "more than 5 redirects"),
        ((302, {"Location": "file:///etc/passwd"}, b""), "begins with http://"),
    ],
)
def test_what_cannot_be_fetched_is_told_so(site: Any, job: Any, answer: Any, reason: str) -> None:
    server = site({"/a": answer})
    with pytest.raises(FetchError, match=reason):
        Fetcher(Limits(most_bytes=1 << 20), private=True).fetch(job(f"{server.address}/a"))


def test_a_file_without_a_length_is_bounded_too(site: Any, job: Any) -> None:
    server = site({"/a": (200, {"Transfer-Encoding": "identity"}, b"x" * 3_000_000)})
    server.RequestHandlerClass.protocol_version = "HTTP/1.0"
    original = server.RequestHandlerClass.send_header

    def without_length(handler: Any, name: str, value: str) -> None:
        if name != "Content-Length":
            original(handler, name, value)

    server.RequestHandlerClass.send_header = without_length
    with pytest.raises(FetchError, match="received more"):
        Fetcher(Limits(most_bytes=1 << 20), private=True).fetch(job(f"{server.address}/a"))


def test_a_server_that_trickles_is_given_up(site: Any, job: Any) -> None:
    server = site({})

    def trickle(handler: Any) -> None:
        while not over.wait(0.05):
            handler.wfile.write(b"H")

    over = threading.Event()
    server.RequestHandlerClass.handle = trickle
    try:
        with pytest.raises(FetchError):
            Fetcher(Limits(transfer_s=0.5), private=True).fetch(job(f"{server.address}/a"))
    finally:
        over.set()


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"HTTP/1.0 200"]
)
@pytest.mark.parametrize("cancelled", [False, True])
def test_an_answer_that_trickles_is_given_up(
    site: Any, job: Any, head: bytes, cancelled: bool
) -> None:
    server, over = site({}), threading.Event()
    fetched = job(f"{server.address}/a")

    def trickle(handler: Any) -> None:
        handler.wfile.write(head + b"\r\n\r\n")
        if cancelled:
            fetched.cancelled.set()
        while not over.wait(0.05):
            handler.wfile.write(b"0")  # of a chunk's length, or of the file

    server.RequestHandlerClass.handle = trickle
    limits = Limits(transfer_s=60.0 if cancelled else 0.5)
    try:
        with pytest.raises(FetchError, match="given up" if cancelled else r"not here after 0\.5 s"):
            Fetcher(limits, private=True).fetch(fetched)
    finally:
        over.set()


def test_a_server_that_does_not_speak_tls_is_not_called_untrusted(site: Any, job: Any) -> None:
    server = site({})
    with pytest.raises(FetchError, match="could not be fetched"):
        Fetcher(Limits(), private=True).fetch(job(f"https://127.0.0.1:{server.server_port}/a"))


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://here.example/a", b"here.example"),  # who signs an address signs this
        ("https://here.example:80/a", b"here.example:80"),
        ("http://here.example/a", b"here.example"),
        ("http://[2606:2800:220:1::1]:8080/a", b"[2606:2800:220:1::1]:8080"),
    ],
)
def test_host_is_what_a_browser_sends(url: str, host: bytes) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        link = fetch._PinnedConnection(read_target(url), ("127.0.0.1", 9), 5.0)
        link.sock = ours
        link.request("GET", "/a")
        assert b"\r\nHost: " + host + b"\r\n" in theirs.recv(1000)


def test_a_redirect_that_cannot_be_read_costs_no_place(start: Any, site: Any) -> None:
    server = site({"/a": (302, {"Location": "http://[::1"}, b"")})
    client = start("--allow-private-links", "--max-waiting", 1)
    body = f'{{"url": "{server.address}/a"}}'.encode()
    for _ in range(2):
        told = client.wait(client.json("/api/v1/links", 202, "POST", body)["id"])
        assert (told["status"], "redirect that cannot" in told["reason"]) == ("unfetched", True)


def test_a_fault_of_the_program_costs_a_link_and_no_place(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(fetch, "resolve", fault)
    client = start("--allow-links", "--max-waiting", 1)
    for _ in range(2):
        told = client.wait(
            client.json("/api/v1/links", 202, "POST", b'{"url": "http://a/b"}')["id"]
        )
        assert (told["status"], "internal error" in told["reason"]) == ("failed", True)


def test_a_slow_server_keeps_nobody_else_waiting(start: Any, site: Any, face_video: Path) -> None:
    server, over = site({}), threading.Event()
    server.RequestHandlerClass.handle = lambda handler: over.wait(30)
    client = start("--allow-private-links")
    body = f'{{"url": "{server.address}/a.mp4"}}'.encode()
    identity = client.json("/api/v1/links", 202, "POST", body)["id"]
    assert client.json(f"/api/v1/videos/{identity}")["state"] == "fetching"
    assert client.judge(face_video.read_bytes())["status"] == "judged"
    assert client.json(f"/api/v1/videos/{identity}")["state"] == "fetching"
    assert client.ask(f"/api/v1/videos/{identity}", "DELETE")[0] == 204
    over.set()


def test_links_are_taken_only_where_that_was_asked_for(
    start: Any, site: Any, face_video: Path
) -> None:
    server = site({"/face%20one.mp4?key=secret": (200, {}, face_video.read_bytes())})
    body = f'{{"url": "{server.address}/face%20one.mp4?key=secret"}}'.encode()
    assert start().ask("/api/v1/links", "POST", body)[0] == 403
    client = start("--allow-links")
    told = client.wait(client.json("/api/v1/links", 202, "POST", body)["id"])
    assert (told["status"], "public internet" in told["reason"]) == ("unfetched", True)
    assert server.asked == []
    client = start("--allow-private-links")
    identity = client.json("/api/v1/links", 202, "POST", body)["id"]
    assert client.wait(identity)["status"] == "judged"
    result = client.json(f"/api/v1/videos/{identity}/result")
    assert (result["name"], result["origin"]) == ("face one.mp4", "link")
    assert "secret" not in str(result)
    for bad in (b"{}", b"[1]", b'{"url": 3}', b"\xff"):
        assert client.ask("/api/v1/links", "POST", bad)[0] == 400
