"""Places to wait: one visitor leaves some to others, and who that is behind a proxy."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest
from starlette.requests import Request

from deploy.serving.limits import Limits
from deploy.serving.visitors import visitor_of

API = "/api/v1"
BODY = b"a text" * 100


def hold(client: Any, source: str = "127.0.0.1", *headers: str) -> socket.socket:
    """Announce a file from an address, send half of it, and wait until it has its place."""
    here = len(client.json(f"{API}/videos")["videos"])
    link = socket.create_connection(("127.0.0.1", client.server.port), 10, (source, 0))
    lines = [f"POST {API}/videos HTTP/1.1", "Host: localhost", f"Content-Length: {len(BODY)}"]
    link.sendall("\r\n".join([*lines, *headers, "", ""]).encode() + BODY[:9])
    while len(client.json(f"{API}/videos")["videos"]) == here:
        pass
    return link


def send(client: Any, source: str = "127.0.0.1", *headers: str) -> tuple[int, str, str]:
    """Send a file from an address; returns the status, when to come again, and what was said."""
    with socket.create_connection(("127.0.0.1", client.server.port), 10, (source, 0)) as link:
        lines = [f"POST {API}/videos HTTP/1.1", "Host: localhost", f"Content-Length: {len(BODY)}"]
        link.sendall("\r\n".join([*lines, *headers, "", ""]).encode() + BODY)
        head, _, body = link.makefile("rb").read(4096).partition(b"\r\n\r\n")
        told = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        return int(head.split()[1]), told.get("retry-after", ""), json.loads(body).get("error", "")


@pytest.mark.parametrize(("waiting", "each"), [(1, 1), (2, 1), (3, 2), (8, 4)])
def test_half_of_the_places_are_one_visitors(waiting: int, each: int) -> None:
    assert Limits(waiting=waiting).waiting_each == each


def test_who_waits_with_as_many_as_may_is_refused_and_others_are_not(start: Any) -> None:
    client = start("--max-waiting", 2)
    with hold(client):
        status, again, said = send(client)
        assert (status, again.isdecimal()) == (429, True)
        assert said == (
            "expected at most 1 files of one visitor that wait, received one more; "
            f"try again in {again} s"
        )
        body = b'{"url": "http://127.0.0.1:9/a.mp4"}'
        assert client.ask(f"{API}/links", "POST", body)[0] == 403  # not offered here
        with hold(client, "127.0.0.2"):
            assert send(client, "127.0.0.3")[0] == 503  # now there is none at all


def test_links_count_too(start: Any) -> None:
    client = start("--max-waiting", 2, "--allow-links")
    with hold(client):
        status, headers, _ = client.ask(f"{API}/links", "POST", b'{"url": "http://127.0.0.1:9/a"}')
        assert (status, headers["retry-after"].isdecimal()) == (429, True)


def test_only_a_proxy_that_was_named_is_believed(start: Any) -> None:
    """The client's own claim stands before the proxy's word, and counts for nothing."""
    alice, bob = (
        "X-Forwarded-For: 192.0.2.9, 203.0.113.1",
        "X-Forwarded-For: 192.0.2.9, 2001:db8::1",
    )
    neighbour = "X-Forwarded-For: 2001:db8::2"
    client = start("--max-waiting", 4, "--proxy", "127.0.0.0/31")
    with hold(client, "127.0.0.1", alice), hold(client, "127.0.0.1", alice):
        assert send(client, "127.0.0.1", alice)[0] == 429
        assert send(client, "127.0.0.2", alice)[0] == 202  # no proxy: whatever it says
        with hold(client, "127.0.0.1", bob):
            assert send(client, "127.0.0.1", "X-Forwarded-For: 203.0.113.2")[0] in (202, 503)
    client = start("--max-waiting", 4)
    with hold(client, "127.0.0.1", alice), hold(client, "127.0.0.1", bob):
        assert send(client, "127.0.0.1", neighbour)[0] == 429


@pytest.mark.parametrize(
    ("host", "visitor"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),  # on a socket of both kinds
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),  # all of it is one customer's
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
        ("x" * 100, "x" * 64),  # a proxy's nonsense
    ],
)
def test_a_visitor_is_an_address_or_a_network(host: str, visitor: str) -> None:
    assert visitor_of(Request({"type": "http", "client": (host, 5)})) == visitor


def test_a_connection_without_an_address_is_a_visitor_too() -> None:
    assert visitor_of(Request({"type": "http"})) == ""
