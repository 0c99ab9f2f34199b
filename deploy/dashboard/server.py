"""The dashboard's server: a thread of the run's process that is gone within a second."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.control import Control
from deploy.dashboard.access import Access
from deploy.dashboard.app import PUBLIC, TICK_S, App
from deploy.dashboard.evidence_files import EvidenceFiles
from deploy.dashboard.report import Report
from deploy.dashboard.settings import Settings
from deploy.dashboard.sink import DashboardSink
from deploy.telemetry import Telemetry
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

if TYPE_CHECKING:
    import uvicorn

MOST_CONNECTIONS = 256
START_S = 5.0  # for the thread to come up
SILENT_S = 8.0  # without a request, before a connection is cut; longer than browsers are kept
GRACE_S = 0.35  # for open connections to end by themselves
CLOSE_S = 2.0  # for the thread to end, whatever hangs

log = logging.getLogger(__name__)


class DashboardServer:
    """A context manager that serves while it is open; nothing is heavy before it opens.

    Args:
        settings: Where, and for whom.
        control: The run.
        sink: One of its sinks.
        telemetry: What it counts with.
        evidence: Root of the evidence folders; None has no evidence.
    """

    def __init__(
        self,
        settings: Settings,
        control: Control,
        sink: DashboardSink,
        telemetry: Telemetry,
        evidence: Path | None = None,
    ) -> None:
        self._settings = settings
        self._report = Report(control, sink, telemetry, EvidenceFiles(evidence))
        self._closing = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self.link = ""

    def open(self) -> None:
        """Listen, and say on stderr where; with the token only if it was made up here.

        Raises:
            UserError: the address is taken or not this machine's, or a package is missing.
        """
        uvicorn = need("uvicorn", "the dashboard")
        for package in ("starlette", "prometheus_client", "cv2"):
            need(package, "the dashboard")
        listener = self._listen()
        self.port = int(listener.getsockname()[1])
        self.link = self._settings.link(self.port)
        app = App(self._report, Access(self._settings, self.port, PUBLIC), self._closing.is_set)
        config = uvicorn.Config(
            app.asgi(),
            http=_bounded_protocol(),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        serving = self._serve(self._server, listener)
        self._thread = threading.Thread(
            target=asyncio.run, args=(serving,), name="dashboard", daemon=True
        )
        self._thread.start()
        self._await_start()
        print(f"dashboard: {self.link}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Stop serving, also while pages are open; within about a second."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._closing.set()
        server.should_exit = True
        thread.join(CLOSE_S)
        if thread.is_alive():
            log.warning("the dashboard's thread does not end")
        self._server = self._thread = None

    def __enter__(self) -> DashboardServer:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self) -> socket.socket:
        host, port = self._settings.host, self._settings.port
        try:
            family, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            return socket.create_server(place[:2], family=family)
        except OSError as error:
            shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            why = f"expected a free address for the dashboard, received {shown}"
            remedy = "name another with --dashboard HOST:PORT"
            raise UserError(f"{why} ({error.strerror}); {remedy}", MISSING) from error

    async def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        with listener:
            keeping = asyncio.create_task(self._keep_house(server))
            await server.serve(sockets=[listener])
            keeping.cancel()

    async def _keep_house(self, server: uvicorn.Server) -> None:
        """Cut off who connects and asks nothing; at the end, who does not read what he asked for.

        uvicorn waits for a first request without end, and every connection is an open file.
        """
        while not self._closing.is_set():
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
                raise RuntimeError("the dashboard's server did not come up")
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
