"""Settings of the dashboard: address and token."""

from __future__ import annotations

import ipaddress
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keras_ddl.edge.errors import USAGE, UserError

DEFAULT_ADDRESS = "127.0.0.1:8321"
TOKEN_VARIABLE = "KERAS_DDL_DASHBOARD_TOKEN"
SHORTEST_TOKEN = 16  # characters; a generated one has 32
LOOPBACK_NAMES = ("localhost",)


@dataclass(frozen=True)
class Settings:
    """Where to listen, and the secret that opens the page.

    Attributes:
        host: An IP address or a name of this machine; "0.0.0.0" and "::" are all of them.
        port: 0 takes any free one.
        token: What a visitor must know; None, on loopback only, lets everybody on this machine in.
        generated: The token was made up here, so somebody has to be told.
        names: Further names under which browsers may reach this machine (a proxy's, say).
    """

    host: str = "127.0.0.1"
    port: int = 8321
    token: str | None = field(default=None, repr=False)
    generated: bool = False
    names: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @classmethod
    def from_options(
        cls,
        address: str = DEFAULT_ADDRESS,
        token_file: Path | None = None,
        names: Sequence[str] = (),
        environ: Mapping[str, str] = os.environ,
    ) -> Settings:
        """Read an address and find the token: in a file, in the environment, or a new one.

        Args:
            address: "HOST:PORT", "HOST", ":PORT" or "[IPv6]:PORT".
            token_file: A file that holds the token and nothing else.
            names: Further names of this machine.
            environ: Where `TOKEN_VARIABLE` may stand.

        Raises:
            UserError: not an address; a token file that cannot be read; a token too short.
        """
        host, port = parse_address(address)
        token = _read(token_file) if token_file else environ.get(TOKEN_VARIABLE, "").strip()
        if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or " " in token):
            expected = f"expected a dashboard token of {SHORTEST_TOKEN} or more ASCII characters"
            remedy = 'make one with: python -c "import secrets; print(secrets.token_urlsafe(24))"'
            raise UserError(f"{expected}, received {len(token)} characters; {remedy}", USAGE)
        generated = not token and not is_loopback(host)
        if generated:
            token = secrets.token_urlsafe(24)
        return cls(host, port, token or None, generated, tuple(name.lower() for name in names))

    def link(self, port: int) -> str:
        """The address to open, with a generated token in it."""
        host = self.host
        if host in ("", "0.0.0.0", "::"):
            host = socket.gethostname()
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/" + (f"?token={self.token}" if self.generated else "")


def parse_address(text: str) -> tuple[str, int]:
    """Split "HOST:PORT"; each half may be left out, an IPv6 address stands in brackets.

    Raises:
        UserError: anything else.
    """
    default_host, default_port = DEFAULT_ADDRESS.split(":")
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        good = bool(closed) and _is_ip(host) and (not rest or rest.startswith(":"))
        port = rest[1:]
    else:
        host, _, port = text.partition(":")
        good = ":" not in port and not any(letter in host for letter in "/@ ?#")
    port = port or default_port
    if not good or not (port.isascii() and port.isdecimal()) or int(port) > 65535:
        expected = "expected HOST:PORT for the dashboard, as 127.0.0.1:8321 or [::1]:8321"
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


def _read(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        message = f"expected a file with the dashboard's token, received '{path}': {why}"
        raise UserError(message, USAGE) from error
    if not token:
        message = f"expected a token in '{path}', received an empty file; write one into it"
        raise UserError(message, USAGE)
    return token
