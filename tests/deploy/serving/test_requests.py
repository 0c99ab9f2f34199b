"""Requests that no browser sends: one line as an answer, and no traceback in the log."""

from __future__ import annotations

import json
import shutil
import socket
import time
from typing import Any

import pytest

API = "/api/v1"


@pytest.mark.parametrize("origin", ["http://[", "null", "//", "http://localhost.evil.example"])
def test_an_origin_that_is_none_is_from_elsewhere(
    served: Any, caplog: pytest.LogCaptureFixture, origin: str
) -> None:
    status, _, body = served.ask(f"{API}/videos", "POST", b"x", Origin=origin)
    assert (status, json.loads(body)["error"]) == (403, "sent by a page from somewhere else")
    assert "Traceback" not in caplog.text


def test_a_name_that_is_not_known_is_told_with_the_option_that_makes_it_so(start: Any) -> None:
    status, _, body = start().ask("/", Host_="page.example:8443")
    assert (status, b"start this with --name NAME" in body) == (403, True)
    client = start("--name", "Page.example.")
    assert client.ask("/", Host_="page.example:8443")[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nothing", 404), ("PUT", f"{API}/videos", 405), ("POST", "/", 405)],
)
def test_what_there_is_not_is_json_too(served: Any, method: str, path: str, status: int) -> None:
    found, headers, body = served.ask(path, method)
    assert (found, headers["content-type"]) == (status, "application/json")
    assert json.loads(body)["error"].startswith(f"there is nothing here for {method};")
    assert ("allow" in headers) == (status == 405)


@pytest.mark.parametrize("path", [f"{API}/links", "/api/login"])
def test_who_goes_away_over_a_short_body_leaves_nothing_in_the_log(
    served: Any, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    with socket.create_connection(("127.0.0.1", served.server.port), timeout=10) as link:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{"
        link.sendall(head.encode())
        time.sleep(0.2)  # it waits for the rest
    time.sleep(0.3)
    assert served.ask("/healthz")[0] == 200
    assert "Traceback" not in caplog.text and "ASGI" not in caplog.text


def test_no_room_for_a_link_is_told_so(start: Any) -> None:
    client = start("--allow-links")
    (root,) = client.folder.iterdir()
    shutil.rmtree(root / ".work")
    (root / ".work").touch()  # no folder can be made in it
    for path, body in (("links", b'{"url": "http://127.0.0.1:9/a"}'), ("videos", b"x")):
        assert "no room" in client.json(f"{API}/{path}", 507, "POST", body)["error"]


def test_a_folder_that_was_tidied_up_is_made_again(start: Any) -> None:
    client = start()
    (root,) = client.folder.iterdir()
    shutil.rmtree(root / ".work")
    assert client.judge(b"this is a text\n" * 40)["status"] == "unreadable"
    assert (root / ".work").stat().st_mode & 0o077 == 0
