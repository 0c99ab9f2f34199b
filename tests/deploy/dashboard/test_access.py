"""Who gets in: the token, foreign names, foreign pages. Asked over real HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from deploy.dashboard import Settings
from deploy.dashboard.report import identify
from deploy.web.access import Access

TOKEN = "a-token-of-twenty-ch"
OPEN = Settings(port=0)
LOCKED = Settings(port=0, token=TOKEN)
# Reached through loopback, but set up as on every address: what holds there can be asked here.
REMOTE = replace(LOCKED, host="0.0.0.0")
PRIVATE = ("/api/status", "/api/events", "/api/updates", "/evidence/a/b.png", "/nothing")
STOP = f"/api/sources/{identify('camera 0')}/stop"


def picture_of(name: str) -> str:
    return f"/api/sources/{identify(name)}/picture.jpg"


def test_without_the_token_nothing_but_the_shell_is_given_out(standing: Callable[..., Any]) -> None:
    get = standing(LOCKED).get
    for path in (*PRIVATE, picture_of("camera 0")):
        assert get(path)[0] == 401, path
    assert get(STOP, "POST")[0] == 401
    for path in ("/", "/app.js", "/style.css", "/icon.svg"):
        assert get(path)[0] == 200, path
    assert get.json("/api/session") == {"signed_in": False}


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),  # the scheme's case does not matter
        (f"Bearer {TOKEN}x", 401),
        (f"Bearer {TOKEN[:-1]}", 401),
        ("Bearer", 401),
        (f"Basic {TOKEN}", 401),
        ("Bearer \xe9", 401),  # not ASCII: compared all the same
    ],
)
def test_the_token_as_a_header(standing: Callable[..., Any], header: str, status: int) -> None:
    assert standing(LOCKED).get("/api/status", Authorization=header)[0] == status


def test_a_login_link_gives_a_cookie_that_opens(standing: Callable[..., Any]) -> None:
    get = standing(LOCKED).get
    status, headers, _ = get(f"/?token={TOKEN}")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert get("/api/status", Cookie=cookie.partition(";")[0])[0] == 200
    name = cookie.partition("=")[0]
    for wrong in ("", "0", TOKEN):
        assert get("/api/status", Cookie=f"{name}={wrong}")[0] == 401


def test_the_form_signs_in_and_a_wrong_token_does_not(standing: Callable[..., Any]) -> None:
    get = standing(LOCKED).get
    status, headers, _ = get("/api/login", "POST", json.dumps({"token": TOKEN}))
    assert status == 200 and "set-cookie" in headers
    for body, expected in (
        (json.dumps({"token": "x" * 20}), 401),
        (json.dumps({"token": 3}), 400),
        ("[]", 400),
        ("{", 400),
        ("x" * 5000, 413),
        ('{"token": "\\ud800"}', 401),
        ("[" * 3000, 400),
    ):
        status, headers, _ = get("/api/login", "POST", body)
        assert (status, "set-cookie" in headers) == (expected, False), body[:20]
    status, headers, _ = get("/?token=wrong")
    assert (status, "set-cookie" in headers) == (401, False)


def test_nobody_signs_in_where_there_is_no_token(standing: Callable[..., Any]) -> None:
    get = standing(OPEN).get
    assert get("/?token=")[0] == 401
    assert get.json("/api/session") == {"signed_in": True}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(port=0), {"/metrics": 200, "/healthz": 200, "/readyz": 200}),
        (LOCKED, {"/metrics": 200, "/healthz": 200, "/readyz": 200}),  # still loopback
        (REMOTE, {"/metrics": 401, "/healthz": 200, "/readyz": 200}),
    ],
)
def test_what_machines_may_ask(
    standing: Callable[..., Any], settings: Settings, expected: dict[str, int]
) -> None:
    get = standing(settings).get
    assert {path: get(path)[0] for path in expected} == expected
    assert get("/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "localhost.evil.example"],
)
def test_a_foreign_name_is_turned_away(standing: Callable[..., Any], host: str) -> None:
    get = standing(OPEN).get
    for path in ("/", "/api/status", "/metrics", "/healthz", picture_of("camera 0")):
        assert get(path, Host=host)[0] == 403, path
    assert get(STOP, "POST", Host=host)[0] == 403


def test_a_probe_may_use_any_name_but_only_away_from_loopback(
    standing: Callable[..., Any],
) -> None:
    get = standing(REMOTE).get
    assert get("/healthz", Host="device.example")[0] == 200
    assert get("/readyz", Host="device.example")[0] == 200
    for path in ("/", "/metrics", "/api/status"):
        assert get(path, Host="device.example")[0] == 403, path


@pytest.mark.parametrize("host", ["localhost", "localhost:9", "127.0.0.1", "[::1]:9", "LOCALHOST."])
def test_loopback_has_several_names(standing: Callable[..., Any], host: str) -> None:
    assert standing(OPEN).get("/api/status", Host=host)[0] == 200


def test_other_addresses_are_reached_by_number_and_by_the_machines_own_name() -> None:
    def status(host: str, *names: str, **headers: str) -> int:
        access = Access(replace(REMOTE, names=names), 8321, frozenset({"/"}))
        cookies = {access.cookie_name: access.cookie}
        refusal = access.refuse("GET", "/api/status", {"host": host, **headers}, cookies)
        return refusal.status if refusal else 200

    own = socket.gethostname().partition(".")[0]
    for host in ("192.168.1.7:8321", "[fd00::1]:8321", own, f"{own}.lan:8321", "localhost"):
        assert status(host) == 200, host
    for host in ("evil.example", f"x{own}", "", "[", "a@evil.example"):
        assert status(host) == 403, host
    assert status("front.example", "front.example") == 200
    assert status("evil.example", authorization=f"Bearer {TOKEN}") == 200  # no browser has that


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},  # a sandboxed frame
        {"Origin": "http://127.0.0.1:1"},  # another port of this machine
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_a_foreign_page_cannot_stop_a_camera(
    standing: Callable[..., Any], headers: dict[str, str]
) -> None:
    served = standing(OPEN)
    assert served.get(STOP, "POST", **headers)[0] == 403
    assert served.run.asked == []


def test_our_own_page_and_a_script_can(standing: Callable[..., Any]) -> None:
    served = standing(OPEN)
    assert served.get(STOP, "POST", Origin=served.address)[0] == 202
    assert served.get(STOP, "POST")[0] == 202
    assert served.run.asked == [("stop", "camera 0")] * 2


def test_a_camera_is_not_stopped_by_a_link(standing: Callable[..., Any]) -> None:
    served = standing(OPEN)
    assert served.get(STOP)[0] == 405
    assert served.run.asked == []


def test_every_answer_carries_the_protecting_headers(standing: Callable[..., Any]) -> None:
    get = standing(LOCKED).get
    for path in ("/", "/api/status", "/nothing", "/healthz"):
        _, headers, _ = get(path)
        assert headers["content-security-policy"].startswith("default-src 'self';"), path
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert "access-control-allow-origin" not in headers
