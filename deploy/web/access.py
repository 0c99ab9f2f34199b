"""Access control: the token, and guards against DNS rebinding and CSRF.

A page elsewhere may point its own name at this machine's address (DNS rebinding) or send a form
here (CSRF). The first is seen by the name in `Host`, the second by `Origin`; both are checked
everywhere, on loopback too, where there is no token.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from deploy.web.settings import LOOPBACK_NAMES, Settings, is_loopback

PROBES = frozenset({"/healthz", "/readyz"})
METRICS = "/metrics"
SAFE_METHODS = frozenset({"GET", "HEAD"})
SAME_SITE = frozenset({"same-origin", "none"})


@dataclass(frozen=True)
class Refusal:
    """Refusal of a request: the reason, and its HTTP status."""

    status: int
    reason: str


class Access:
    """Rules that decide on one request at a time; nothing is kept.

    Args:
        settings: Where the page's server listens and its token.
        port: The port that it really has; part of the cookie's name, because cookies are shared
            between the ports of a machine.
        public: Paths that anybody may have: the page without its contents, and the way to sign in.
    """

    def __init__(self, settings: Settings, port: int, public: frozenset[str]) -> None:
        self._settings = settings
        self._public = public
        self._own_name = socket.gethostname().partition(".")[0].lower()
        self.cookie_name = f"keras_ddl_{settings.service.name}_{port}"

    @property
    def cookie(self) -> str:
        """What a browser keeps instead of the token itself; "" where there is none."""
        token = self._settings.token
        if token is None:
            return ""
        return hmac.new(token.encode(), b"dashboard cookie", hashlib.sha256).hexdigest()

    def opens(self, token: str) -> bool:
        """Whether this is the token."""
        return self._settings.token is not None and _same(token, self._settings.token)

    def admits(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> bool:
        """Whether somebody has the token, or none is needed."""
        if self._settings.token is None or self.opens(_bearer(headers)):
            return True
        return _same(cookies.get(self.cookie_name, ""), self.cookie)

    def refuse(
        self, method: str, path: str, headers: Mapping[str, str], cookies: Mapping[str, str]
    ) -> Refusal | None:
        """Say why a request is turned away; None lets it through.

        Args:
            method: "GET", "POST", …
            path: Decoded, without the query.
            headers: By lower-case name.
            cookies: By name.
        """
        by_header = self.opens(_bearer(headers))
        probed = path in PROBES and not self._settings.loopback
        host = headers.get("host", "")
        if not (by_header or probed or self._knows(host)):
            remedy = f"if it does, start this with {self._settings.service.name_option} NAME"
            return Refusal(403, f"this machine does not go by the name '{host[:100]}'; {remedy}")
        if method not in SAFE_METHODS and not _from_here(headers, host):
            return Refusal(403, "sent by a page from somewhere else")
        if path in self._public | PROBES or self.admits(headers, cookies):
            return None
        if path == METRICS and self._settings.loopback:
            return None
        return Refusal(401, "sign in with the token first")

    def _knows(self, host: str) -> bool:
        """Whether a `Host` cannot be a foreign page's.

        An address cannot: nobody can point a number elsewhere. On loopback only loopback ones
        make sense; elsewhere also this machine's own name, with any domain behind it.
        """
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if is_loopback(name) or name in self._settings.names:
            return True
        if self._settings.loopback:
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.partition(".")[0] == self._own_name and name not in LOOPBACK_NAMES
        return True


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _from_here(headers: Mapping[str, str], host: str) -> bool:
    """Whether a browser says that its page came from here; other programs say nothing."""
    if headers.get("sec-fetch-site", "none") not in SAME_SITE:
        return False
    origin = headers.get("origin")
    try:
        return origin is None or urlsplit(origin).netloc.lower() == host.lower() != ""
    except ValueError:  # no address by the rules
        return False


def _same(one: str, other: str) -> bool:
    """Compare in a time that does not tell how much was right."""
    left, right = (text.encode("utf-8", "surrogatepass") for text in (one, other))
    return hmac.compare_digest(left, right)
