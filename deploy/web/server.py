"""Server of a page: a thread of this process that is gone within a second."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from deploy.web.settings import Settings
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

MOST_CONNECTIONS = 256
START_S = 5.0  # for the thread to come up
SILENT_S = 8.0  # without a request, before a connection is cut; longer than browsers are kept
TICK_S = 0.25  # how often silent connections are looked for
GRACE_S = 0.35  # for open connections to end by themselves
CLOSE_S = 2.0  # for the thread to end, whatever hangs

log = logging.getLogger(__name__)


def listen(settings: Settings) -> socket.socket:
    """Take the address.

    Raises:
        UserError: it is taken, or not this machine's.
    """
    host, port, service = settings.host, settings.port, settings.service
    try:
        family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(place[:2], family=family)
    except (OSError, UnicodeError) as error:
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        why = f"expected a free address for the {service.name}, received {shown}"
        remedy = f"name another with {service.option} HOST:PORT"
        reason = getattr(error, "strerror", None) or "no name of a machine"
        raise UserError(f"{why} ({reason}); {remedy}", MISSING) from error


class PageServer:
    """A context manager that serves while it is open; nothing is heavy before it opens.

    Args:
        settings: Where, and for whom.
        make_app: Given the port, returns the application.
        purpose: Whose packages these are, for the line that says one is missing.

    Attributes:
        closing: Set when the server is on its way out.
        port: The port that it really has.
        link: Where a person finds it, with the token only if it was made up here.
    """

    def __init__(
        self, settings: Settings, make_app: Callable[[int], ASGIApp], purpose: str
    ) -> None:
        self._settings = settings
        self._make_app = make_app
        self._purpose = purpose
        self.closing = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.link = ""

    def open(self) -> None:
        """Listen, and say on stderr where.

        Raises:
            UserError: the address is taken or not this machine's, or a package is missing.
        """
        uvicorn = need("uvicorn", self._purpose)
        need("starlette", self._purpose)
        service = self._settings.service
        listener = listen(self._settings)
        self.port = int(listener.getsockname()[1])
        self.link = self._settings.link(self.port)
        config = uvicorn.Config(
            self._make_app(self.port),
            http=_bounded_protocol(),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=bool(self._settings.proxies),
            forwarded_allow_ips=[*self._settings.proxies],
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        serving = self._serve(self._server, listener)
        self._thread = threading.Thread(
            target=asyncio.run, args=(serving,), name=service.name, daemon=True
        )
        self._thread.start()
        self._await_start()
        print(f"{service.name}: {self.link}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Stop serving, also while pages are open; within about a second."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self.closing.set()
        server.should_exit = True
        thread.join(CLOSE_S)
        if thread.is_alive():
            log.warning("the thread of %s does not end", self._settings.service.name)
        self._server = self._thread = None

    def __enter__(self) -> PageServer:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        with listener:
            keeping = asyncio.create_task(self._keep_house(server))
            await server.serve(sockets=[listener])
            keeping.cancel()

    async def _keep_house(self, server: uvicorn.Server) -> None:
        """Cut off who connects and asks nothing; at the end, who does not read what he asked for.

        uvicorn waits for a first request without end, and every connection is an open file.
        """
        while not self.closing.is_set():
            await asyncio.sleep(TICK_S)
            before = time.monotonic() - SILENT_S
            for connection in _silent(server.server_state.connections):
                if connection.silent_since < before:
                    connection.transport.abort()
        await asyncio.sleep(GRACE_S)
        for connection in list(server.server_state.connections):
            connection.transport.abort()

    def _await_start(self) -> None:
        server, thread = self._server, self._thread
        end = time.monotonic() + START_S
        while server is not None and thread is not None and not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise RuntimeError("the page's server did not come up")
            time.sleep(0.01)


def _bounded_protocol() -> type[asyncio.Protocol]:
    """HTTP protocol of a bounded number of connections: a new one ends the longest silent one."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Bounded(H11Protocol):
        silent_since = 0.0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.silent_since = time.monotonic()
            others = _silent(self.connections - {self})
            if len(self.connections) > MOST_CONNECTIONS:
                (others[0] if others else self).transport.abort()

        def on_response_complete(self) -> None:
            self.silent_since = time.monotonic()
            super().on_response_complete()

    return Bounded


def _silent(connections: Iterable[Any]) -> list[Any]:
    """Those on which nothing has been asked or all been answered, the longest silent ones first."""
    silent = [
        one
        for one in connections
        if not one.transport.is_closing() and (one.cycle is None or one.cycle.response_complete)
    ]
    return sorted(silent, key=lambda one: one.silent_since)
