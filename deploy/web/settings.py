"""Settings of a page's server: address and token."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import USAGE, UserError

SHORTEST_TOKEN = 16  # characters; a generated one has 32
LOOPBACK_NAMES = ("localhost",)


@dataclass(frozen=True)
class Service:
    """Service that has a page.

    Attributes:
        name: What its messages call it.
        option: Which option of its command takes the address.
        port: Where it listens unless told otherwise.
        name_option: Which option takes a further name of this machine.
        proxy_option: And which the address of a proxy before it.
    """

    name: str
    option: str
    port: int
    name_option: str
    proxy_option: str

    @property
    def address(self) -> str:
        """Where it listens unless told otherwise, "HOST:PORT"."""
        return f"127.0.0.1:{self.port}"

    @property
    def token_variable(self) -> str:
        """Variable of the environment that may hold its token."""
        return f"KERAS_DDL_{self.name.upper()}_TOKEN"


DASHBOARD = Service("dashboard", "--dashboard", 8321, "--dashboard-name", "--dashboard-proxy")
SERVE = Service("serve", "--address", 8322, "--name", "--proxy")


@dataclass(frozen=True)
class Settings:
    """Where to listen, and the secret that opens the page.

    Attributes:
        host: An IP address or a name of this machine; "0.0.0.0" and "::" are all of them.
        port: 0 takes any free one.
        token: What a visitor must know; None, on loopback only, lets everybody on this machine in.
        generated: The token was made up here, so somebody has to be told.
        names: Further names under which browsers may reach this machine (a proxy's, say).
        service: Whose they are.
        proxies: Addresses and networks of proxies that are believed when they say who asks.
    """

    host: str = "127.0.0.1"
    port: int = 8321
    token: str | None = field(default=None, repr=False)
    generated: bool = False
    names: tuple[str, ...] = ()
    service: Service = DASHBOARD
    proxies: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @classmethod
    def from_options(
        cls,
        address: str = "",
        token_file: Path | None = None,
        names: Sequence[str] = (),
        environ: Mapping[str, str] = os.environ,
        service: Service = DASHBOARD,
        proxies: Sequence[str] = (),
    ) -> Settings:
        """Read an address and find the token: in a file, in the environment, or a new one.

        Args:
            address: "HOST:PORT", "HOST", ":PORT", "[IPv6]:PORT", or "" for the service's own.
            token_file: A file that holds the token and nothing else.
            names: Further names of this machine.
            environ: Where the service's `token_variable` may stand.
            service: Whose address and token they are.
            proxies: Addresses and networks of proxies that are believed.

        Raises:
            UserError: not an address; a token file that cannot be read; a token too short; a name
                that is none.
        """
        host, port = parse_address(address, service)
        given = environ.get(service.token_variable, "").strip()
        token = _read(token_file, service) if token_file else given
        if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or " " in token):
            expected = (
                f"expected a {service.name} token of {SHORTEST_TOKEN} ASCII characters or more"
            )
            remedy = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(24))"'
            raise UserError(f"{expected}, received {len(token)} characters; {remedy}", USAGE)
        generated = not token and not is_loopback(host)
        if generated:
            token = secrets.token_urlsafe(24)
        known = tuple(_as_browsers_say(name) for name in names)
        believed = tuple(_network(proxy, service) for proxy in proxies)
        return cls(host, port, token or None, generated, known, service, believed)

    def link(self, port: int) -> str:
        """The address to open, with a generated token in it."""
        host = self.host
        if host in ("", "0.0.0.0", "::"):
            host = socket.gethostname()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/" + (f"?token={self.token}" if self.generated else "")


def add_proxy(group: Any, option: str) -> None:
    """Add which proxies are believed."""
    group.add_argument(
        option,
        action="append",
        default=[],
        metavar="ADDRESS",
        help="a proxy, or its network, that tells in X-Forwarded-For who asks; only to give each "
        "visitor a fair share",
    )


def parse_address(text: str, service: Service = DASHBOARD) -> tuple[str, int]:
    """Split "HOST:PORT"; each half may be left out, an IPv6 address stands in brackets.

    Raises:
        UserError: anything else.
    """
    default_host, default_port = service.address.split(":")
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        good = bool(closed) and _is_ip(host) and (not rest or rest.startswith(":"))
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
        good = ":" not in port and not any(letter in host for letter in "/@ ?#")
    port = port or default_port
    if not good or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        examples = f"{service.address} or [::1]:{service.port}"
        expected = f"expected HOST:PORT for {service.option}, as {examples}"
        raise UserError(f"{expected}, received '{text}'", USAGE)
    return host or default_host, int(port)


def is_loopback(host: str) -> bool:
    """Whether an address, or "localhost", is this machine talking to itself."""
    if _is_ip(host):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() in LOOPBACK_NAMES


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _network(text: str, service: Service) -> str:
    """An address, or a network in the form of uvicorn, which takes anything else in silence."""
    try:
        if "/" in text:
            return str(ipaddress.ip_network(text, strict=False))
        return str(ipaddress.ip_address(text))
    except ValueError:
        expected = f"expected an IP address or network for {service.proxy_option}"
        examples = "127.0.0.1 or 172.18.0.0/16"
        raise UserError(f"{expected}, as {examples}, received '{text}'", USAGE) from None


def _as_browsers_say(name: str) -> str:
    """A name of a machine as it stands in `Host`: lower case, other letters encoded."""
    try:
        encoded = name.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        encoded = ""
    if not encoded or any(letter in encoded for letter in "/:@ ?#*"):
        expected = "expected a name under which browsers reach this machine, as page.example.org"
        raise UserError(f"{expected}, received '{name}'; leave scheme and port out", USAGE)
    return encoded


def _read(path: Path, service: Service) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        message = f"expected a file with the {service.name} token, received '{path}': {why}"
        raise UserError(message, USAGE) from error
    if not token:
        message = f"expected a token in '{path}', received an empty file; write one into it"
        raise UserError(message, USAGE)
    return token
