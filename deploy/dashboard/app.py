"""ASGI application of the dashboard: its routes and who may use them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from deploy.dashboard.access import METRICS, PROBES, Access
from deploy.dashboard.exposition import CONTENT_TYPE, exposition
from deploy.dashboard.history import EVENTS
from deploy.dashboard.report import Report, Seen
from deploy.dashboard.sink import Jpeg, jpeg
from deploy.dashboard.streams import STREAM, Streams
from deploy.sources.base import State

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE = {
    "/": ("index.html", "text/html"),
    "/app.js": ("app.js", "text/javascript"),
    "/camera.js": ("camera.js", "text/javascript"),
    "/timeline.js": ("timeline.js", "text/javascript"),
    "/events.js": ("events.js", "text/javascript"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
LOGIN, SESSION = "/api/login", "/api/session"
PUBLIC = frozenset({*PAGE, LOGIN, SESSION})
TICK_S = 0.25  # how often an open page's connection looks for something new
BEAT_S = 1.0  # and how often it is told the state of things when there is nothing new
WRONG_TOKEN_S = 0.5  # how long a wrong token has to wait for its answer
MOST_ANSWERS = 128  # under way at a time, probes aside
LONGEST_LOGIN = 4096  # bytes
LOGIN_S = 5.0  # for them to arrive
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class App:
    """One function per address. Those without `async` run on a thread of a pool.

    Args:
        report: The run.
        access: Who may come in.
        closing: Whether the server is on its way out.
    """

    def __init__(self, report: Report, access: Access, closing: Callable[[], bool]) -> None:
        self._report = report
        self._access = access
        self._closing = closing

    def asgi(self) -> ASGIApp:
        """The application that a server runs."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        source = "/api/sources/{identity}"
        routes = [Route(path, self.page) for path in PAGE]
        routes += [
            Route(LOGIN, self.login, methods=["POST"]),
            Route(SESSION, self.session),
            Route("/api/status", self.status),
            Route("/api/events", self.events),
            Route("/api/updates", self.updates),
            Route(f"{source}/picture.jpg", self.picture),
            Route(f"{source}/start", self.start, methods=["POST"]),
            Route(f"{source}/stop", self.stop, methods=["POST"]),
            Route(STREAM, Streams(self._report, self._closing).stream),
            Route("/evidence/{event}/{name}", self.evidence),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route(METRICS, self.metrics),
        ]
        return _Guard(Starlette(routes=routes), self._access)

    async def page(self, request: Request) -> Response:
        """The page without its contents; `/?token=…` signs in first."""
        from starlette.responses import Response

        if "token" in request.query_params:
            return await self._signed_in(request.query_params["token"], 303)
        name, kind = PAGE[request.url.path]
        content = (files("deploy.dashboard") / "static" / name).read_bytes()
        return Response(content, media_type=kind)

    async def login(self, request: Request) -> Response:
        """Sign in with `{"token": …}`."""
        try:
            body = await asyncio.wait_for(_short_body(request), LOGIN_S)
        except asyncio.TimeoutError:
            return _json({"error": "expected a token at once"}, 408)
        if body is None:
            return _json({"error": "too long for a token"}, 413)
        try:
            token = json.loads(body)["token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str):
            return _json({"error": 'expected {"token": "…"}'}, 400)
        return await self._signed_in(token, 200)

    async def _signed_in(self, token: str, status: int) -> Response:
        if not self._access.opens(token):
            await asyncio.sleep(WRONG_TOKEN_S)
            return _json({"error": "this is not the token"}, 401)
        response = _json({"signed_in": True}, status)
        if status == 303:
            response.headers["location"] = "/"
        response.set_cookie(
            self._access.cookie_name, self._access.cookie, httponly=True, samesite="strict"
        )
        return response

    async def session(self, request: Request) -> Response:
        """Whether this visitor may see the rest, so that a page can ask for the token."""
        return _json({"signed_in": self._access.admits(request.headers, request.cookies)})

    def status(self, request: Request) -> Response:
        """Sources, thresholds, timing, CPU."""
        return _json(self._report.status())

    def events(self, request: Request) -> Response:
        """The newest events, `?limit=` of them."""
        wanted = request.query_params.get("limit", str(EVENTS))
        if not (wanted.isascii() and wanted.isdecimal()):
            return _json({"error": f"expected a whole number, received limit={wanted!r}"}, 400)
        return _json({"events": self._report.events(min(int(wanted[:9]), EVENTS))})

    async def updates(self, request: Request) -> Response:
        """Everything there is, then whatever is new, as server-sent events."""
        from starlette.responses import StreamingResponse

        return StreamingResponse(self._news(), media_type="text/event-stream")

    async def _news(self) -> AsyncIterator[str]:
        from starlette.concurrency import run_in_threadpool

        seen = Seen()
        yield "retry: 1000\n\n"
        while not self._closing():
            message, seen = await run_in_threadpool(self._report.update, seen)
            yield f"data: {_to_json(message)}\n\n"
            waited = 0.0
            while waited < BEAT_S and not self._closing():
                await asyncio.sleep(TICK_S)
                waited += TICK_S
                if self._report.sink.history.revision != seen.history:
                    break

    def picture(self, request: Request) -> Response:
        """The newest annotated picture; nothing (204) when it is not newer than `?after=`."""
        from starlette.responses import Response

        source = self._report.find(request.path_params["identity"])
        if source is None:
            return _json({"error": "no such source"}, 404)
        after = request.query_params.get("after", "0")
        seen = int(after[:18]) if after.isascii() and after.isdecimal() else 0
        found = self._report.sink.pictures.get(source.name, seen)
        if found is None and "after" not in request.query_params:
            image = self._report.control.snapshot(source.name)  # before anybody watched
            found = None if image is None else Jpeg(0, jpeg(image))
        if found is None:
            return Response(status_code=204)
        headers = {"x-picture": str(found.number)}
        return Response(found.data, media_type="image/jpeg", headers=headers)

    def start(self, request: Request) -> Response:
        """Watch a source again."""
        return self._ask(request, self._report.control.start)

    def stop(self, request: Request) -> Response:
        """Stop watching a source."""
        return self._ask(request, self._report.control.stop)

    def _ask(self, request: Request, action: Callable[[str], None]) -> Response:
        source = self._report.find(request.path_params["identity"])
        if source is None:
            return _json({"error": "no such source"}, 404)
        action(source.name)
        return _json({"accepted": True}, 202)

    def evidence(self, request: Request) -> Response:
        """A file of an event's evidence; parts of it where a player asks for them."""
        from starlette.responses import FileResponse

        event, name = request.path_params["event"], request.path_params["name"]
        found = self._report.evidence.path(event, name)
        if found is None:
            return _json({"error": "no such evidence"}, 404)
        return FileResponse(found[0], media_type=found[1])

    def healthz(self, request: Request) -> Response:
        """Whether the process and its threads live."""
        dead = self._report.control.dead_threads
        return _json({"alive": not dead, "dead_threads": dead}, 503 if dead else 200)

    def readyz(self, request: Request) -> Response:
        """Whether the model is warm and at least one source runs."""
        states = [source.health.state for source in self._report.control.status()]
        warm, running = self._report.control.warm, states.count(State.RUNNING)
        ready = warm and running > 0
        return _json({"ready": ready, "warm": warm, "running": running}, 200 if ready else 503)

    def metrics(self, request: Request) -> Response:
        """All counts in Prometheus' text format."""
        from starlette.responses import Response

        rules = self._report.sink.history.rules().values()
        model = next((str(rule["model_id"]) for rule in rules if "model_id" in rule), "")
        sources = self._report.control.status()
        text = exposition(self._report.telemetry, sources, model)
        return Response(text, headers={"content-type": CONTENT_TYPE})


class _Guard:
    """Turns away who may not come in, and gives every answer the headers that protect the page.

    Probes are answered however many others there are: who restarts what does not answer must not be
    led to restart a run that does its work.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._answers = 0  # under way, to others than probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import HTTPConnection

        if scope["type"] != "http":
            return
        visitor = HTTPConnection(scope)
        refusal = self._access.refuse(
            scope["method"], scope["path"], visitor.headers, visitor.cookies
        )

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _protected(message.get("headers", ()))
            await send(message)

        if refusal is not None:
            await _json({"error": refusal.reason}, refusal.status)(scope, receive, guarded)
        elif scope["path"] in PROBES:
            await self._app(scope, receive, guarded)
        elif self._answers >= MOST_ANSWERS:
            await _json({"error": "too many visitors"}, 503)(scope, receive, guarded)
        else:
            self._answers += 1
            try:
                await self._app(scope, receive, guarded)
            finally:
                self._answers -= 1


async def _short_body(request: Request) -> bytes | None:
    """What was sent; None where it is too long for a token."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_LOGIN:
            return None
    return body


def _protected(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    return [*(pair for pair in headers if pair[0].decode("latin-1") not in HEADERS), *ours]


def _to_json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _json(data: Mapping[str, Any], status: int = 200) -> Response:
    from starlette.responses import Response

    return Response(_to_json(data), status, media_type="application/json")
