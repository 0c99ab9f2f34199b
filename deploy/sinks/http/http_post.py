"""One HTTP POST with a limit on its whole duration (standard library only)."""

from __future__ import annotations

import base64
import http.client
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from deploy.sinks.tls import client_tls
from keras_ddl.edge.errors import USAGE, UserError

READ = 4096  # bytes of an answer's body that are read
KEPT = "%/?:@!$&'()*+,;=~-._"  # what a path and a query may hold as it is
SCHEMES = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Answer:
    """Answer of a server.

    Attributes:
        status: HTTP status.
        reason: What stands behind it.
        retry_after_s: Retry-After in seconds, None where absent.
        body: Its first bytes.
    """

    status: int
    reason: str
    retry_after_s: float | None = None
    body: bytes = b""


class HttpPost:
    """Client for one address, with one connection per request.

    The limit holds for the request as a whole: also for a server that accepts and never reads, or
    that sends one byte now and then.

    Args:
        url: http:// or https://; user and password go into an Authorization header.
        timeout_s: Limit in seconds; connecting has its own, of the same length.
        ca: Certificates to trust instead of the system's, PEM.
        read: Bytes of an answer's body that are kept.

    Attributes:
        shown: The address for logs.
        place: The address without user, password and query: who receives, however it is proved
            that this one may send.

    Raises:
        UserError: not such an address, or no such certificates.
    """

    def __init__(
        self, url: str, timeout_s: float, ca: Path | None = None, read: int = READ
    ) -> None:
        scheme = url.partition("://")[0] if "://" in url else ""
        try:
            parts = urlsplit(url)
            self._port = parts.port or SCHEMES[parts.scheme]
            self._host = (parts.hostname or "").encode("idna").decode()
        except KeyError as error:
            raise _impossible(scheme, "neither http nor https") from error
        except ValueError as error:  # its words may hold what was meant as a password
            raise _impossible(scheme, "its host or port cannot be read") from error
        if not self._host or any(ord(letter) <= 32 for letter in url):
            raise _impossible(parts.scheme, "no host, or a space in it")
        query = f"?{quote(parts.query, safe=KEPT)}" if parts.query else ""
        self._path = quote(parts.path or "/", safe=KEPT) + query
        self._headers = {"Connection": "close"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._timeout_s = timeout_s
        self._read = read
        self._context = client_tls(ca) if parts.scheme == "https" else None
        self._socket: socket.socket | None = None
        # Many receivers have their secret in the path: logs see nothing after the host.
        self.place = f"{parts.scheme}://{self._host}:{self._port}{parts.path or '/'}"
        self.shown = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")

    def send(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post a body.

        Raises:
            OSError: no connection, or the limit has passed.
            http.client.HTTPException: what came back is no HTTP.
        """
        if self._context is None:
            link = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        else:
            link = http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.abort()

        watch = threading.Timer(self._timeout_s, give_up)
        watch.daemon = True
        try:
            link.connect()
            self._socket = link.sock
            watch.start()
            link.request("POST", self._path, body, {**self._headers, **headers})
            answer = link.getresponse()
            body = answer.read(self._read)
            after = retry_after_s(answer.getheader("Retry-After"), time.time())
            return Answer(answer.status, answer.reason, after, body)
        except (OSError, http.client.HTTPException) as error:
            if late.is_set():
                raise TimeoutError(f"no answer within {self._timeout_s:g} s") from error
            raise
        finally:
            watch.cancel()
            self._socket = None
            link.close()

    def abort(self) -> None:
        """Break off the request under way; safe to call from any thread."""
        if (found := self._socket) is not None:
            with suppress(OSError):  # it has just ended by itself
                socket.socket.shutdown(found, socket.SHUT_RDWR)  # below TLS, which has one owner


def retry_after_s(text: str | None, now: float) -> float | None:
    """Seconds to wait from a Retry-After header, a number or a date; None where it says nothing."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except ValueError:
        return None


def _impossible(scheme: str, reason: object) -> UserError:
    return UserError(
        f"expected http(s)://HOST[:PORT]/PATH to post to, received '{scheme}://…': {reason}",
        USAGE,
    )
