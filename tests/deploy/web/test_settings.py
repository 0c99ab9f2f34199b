"""Addresses and tokens as people write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.web.settings import DASHBOARD, SERVE, Settings, is_loopback, parse_address
from keras_ddl.edge.errors import UserError

LONG = "a-token-of-twenty-ch"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("127.0.0.1:8321", ("127.0.0.1", 8321)),
        ("0.0.0.0", ("0.0.0.0", 8321)),
        (":9000", ("127.0.0.1", 9000)),  # no host
        ("jetson.local:0", ("jetson.local", 0)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::]", ("::", 8321)),
    ],
)
def test_an_address_is_read(text: str, place: tuple[str, int]) -> None:
    assert parse_address(text) == place


@pytest.mark.parametrize(
    "text",
    ["::1", "1.2.3.4:http", "1.2.3.4:65536", "http://here:80", "[::1", "[here]:80", "a b:1", ":²"],
)
def test_what_is_no_address_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match="expected HOST:PORT") as caught:
        parse_address(text)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (2, False)


def test_loopback_is_told_from_the_rest() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.4", "localhost.evil.example")))


def test_loopback_needs_no_token_and_every_other_address_gets_one() -> None:
    assert Settings.from_options("127.0.0.1:0", environ={}).token is None
    one, other = (Settings.from_options("0.0.0.0:0", environ={}) for _ in range(2))
    assert one.token and other.token and one.token != other.token
    assert one.generated and len(one.token) >= 32
    assert one.link(80).endswith(f":80/?token={one.token}")


def test_a_token_comes_from_the_file_before_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{LONG}-file\n", encoding="utf-8")
    environ = {DASHBOARD.token_variable: f"{LONG}-environment"}
    given = Settings.from_options(environ=environ)
    assert (given.token, given.generated) == (f"{LONG}-environment", False)
    assert Settings.from_options(token_file=path, environ=environ).token == f"{LONG}-file"
    assert LONG not in repr(given)
    assert LONG not in given.link(80)  # whoever gave it knows it


@pytest.mark.parametrize("content", [b"", b"short", b"twenty characters ok", b"\xff" * 20])
def test_a_useless_token_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(UserError, match="token") as caught:
        Settings.from_options(token_file=path, environ={})
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (2, False)


def test_a_missing_token_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        Settings.from_options(token_file=tmp_path / "none", environ={})


def test_each_service_has_a_port_and_a_variable_of_its_own() -> None:
    environ = {"KERAS_DDL_SERVE_TOKEN": LONG}
    settings = Settings.from_options(environ=environ, service=SERVE)
    assert (settings.host, settings.port, settings.token) == ("127.0.0.1", 8322, LONG)
    assert Settings.from_options(environ=environ).token is None
    with pytest.raises(UserError, match=r"for --address, as 127\.0\.0\.1:8322"):
        Settings.from_options("a b", environ={}, service=SERVE)


def test_names_are_as_browsers_say_them() -> None:
    names = ("Page.Example.org.", "b\u00fccher.example", "jetson")
    found = Settings.from_options(names=names, environ={}).names
    assert found == ("page.example.org", "xn--bcher-kva.example", "jetson")


@pytest.mark.parametrize(
    "name", ["http://page.example", "page.example:443", "*.example", "", "a..b"]
)
def test_what_is_no_name_of_a_machine_is_one_line(name: str) -> None:
    with pytest.raises(UserError, match="expected a name under which browsers") as caught:
        Settings.from_options(names=(name,), environ={})
    assert caught.value.exit_code == 2


def test_proxies_are_addresses_or_networks() -> None:
    proxies = ("127.0.0.1", "172.18.5.0/16", "::1")
    found = Settings.from_options(proxies=proxies, environ={}).proxies
    assert found == ("127.0.0.1", "172.18.0.0/16", "::1")


@pytest.mark.parametrize("proxy", ["*", "proxy.example", "10.0.0.0/33", "", "127.0.0.1:80"])
def test_what_is_no_proxy_is_one_line(proxy: str) -> None:
    with pytest.raises(UserError, match="IP address or network for --proxy") as caught:
        Settings.from_options(proxies=(proxy,), environ={}, service=SERVE)
    assert caught.value.exit_code == 2
