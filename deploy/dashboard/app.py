"""ASGI application of the dashboard: its routes and who may use them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

from deploy.dashboard.exposition import CONTENT_TYPE, exposition
from deploy.dashboard.history import EVENTS
from deploy.dashboard.report import Report, Seen
from deploy.dashboard.sink import Jpeg, jpeg
from deploy.dashboard.streams import STREAM, Streams
from deploy.sources.base import State
from deploy.web.access import METRICS, Access
from deploy.web.answers import json_answer, static_answer, to_json
from deploy.web.guard import Guard
from deploy.web.mounted import Mounted
from deploy.web.sign_in import LOGIN, SESSION, SignIn

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

PAGE = {  # address → package, file, kind
    "/": ("deploy.dashboard", "index.html", "text/html"),
    "/app.js": ("deploy.dashboard", "app.js", "text/javascript"),
    "/camera.js": ("deploy.dashboard", "camera.js", "text/javascript"),
    "/timeline.js": ("deploy.dashboard", "timeline.js", "text/javascript"),
    "/events.js": ("deploy.dashboard", "events.js", "text/javascript"),
    "/style.css": ("deploy.dashboard", "style.css", "text/css"),
    "/base.css": ("deploy.web", "base.css", "text/css"),
    "/parts.js": ("deploy.web", "parts.js", "text/javascript"),
    "/sign_in.js": ("deploy.web", "sign_in.js", "text/javascript"),
    "/icon.svg": ("deploy.web", "icon.svg", "image/svg+xml"),
}
PUBLIC = frozenset({*PAGE, LOGIN, SESSION})
TICK_S = 0.25  # how often an open page's connection looks for something new
BEAT_S = 1.0  # and how often it is told the state of things when there is nothing new


class App:
    """One function per address. Those without `async` run on a thread of a pool.

    Args:
        report: The run.
        access: Who may come in.
        closing: Whether the server is on its way out.
        mounted: Further pages of the server.
    """

    def __init__(
        self,
        report: Report,
        access: Access,
        closing: Callable[[], bool],
        mounted: Sequence[Mounted] = (),
    ) -> None:
        self._report = report
        self._mounted = tuple(mounted)
        self._access = access
        self._sign_in = SignIn(access)
        self._closing = closing

    def asgi(self) -> ASGIApp:
        """The application that a server runs."""
        from starlette.applications import Starlette
        from starlette.routing import BaseRoute, Mount, Route

        source = "/api/sources/{identity}"
        routes: list[BaseRoute] = [Route(path, self.page) for path in PAGE]
        routes += [
            *self._sign_in.routes(),
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
        for page in self._mounted:
            routes.append(Route(page.path, self.enter))
            routes.append(Mount(page.path, page.make_app(self._access)))
        return Guard(Starlette(routes=routes), self._access)

    async def page(self, request: Request) -> Response:
        """The page without its contents; `/?token=…` signs in first."""
        if "token" in request.query_params:
            return await self._sign_in.by_link(request)
        return static_answer(*PAGE[request.url.path])

    async def enter(self, request: Request) -> Response:
        """The way to a further page for who left its last slash out."""
        from starlette.responses import Response

        return Response(status_code=308, headers={"location": f"{request.url.path}/"})

    def status(self, request: Request) -> Response:
        """Sources, thresholds, timing, CPU."""
        return json_answer(self._report.status())

    def events(self, request: Request) -> Response:
        """The newest events, `?limit=` of them."""
        wanted = request.query_params.get("limit", str(EVENTS))
        if not (wanted.isascii() and wanted.isdecimal()):
            return json_answer(
                {"error": f"expected a whole number, received limit={wanted!r}"}, 400
            )
        return json_answer({"events": self._report.events(min(int(wanted[:9]), EVENTS))})

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
            yield f"data: {to_json(message)}\n\n"
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
            return json_answer({"error": "no such source"}, 404)
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
            return json_answer({"error": "no such source"}, 404)
        action(source.name)
        return json_answer({"accepted": True}, 202)

    def evidence(self, request: Request) -> Response:
        """A file of an event's evidence; parts of it where a player asks for them."""
        from starlette.responses import FileResponse

        event, name = request.path_params["event"], request.path_params["name"]
        found = self._report.evidence.path(event, name)
        if found is None:
            return json_answer({"error": "no such evidence"}, 404)
        return FileResponse(found[0], media_type=found[1])

    def healthz(self, request: Request) -> Response:
        """Whether the process and its threads live."""
        dead = [*self._report.control.dead_threads]
        for page in self._mounted:
            dead += page.dead_threads()
        return json_answer({"alive": not dead, "dead_threads": dead}, 503 if dead else 200)

    def readyz(self, request: Request) -> Response:
        """Whether the model is warm and at least one source runs."""
        states = [source.health.state for source in self._report.control.status()]
        warm, running = self._report.control.warm, states.count(State.RUNNING)
        ready = warm and running > 0
        return json_answer(
            {"ready": ready, "warm": warm, "running": running}, 200 if ready else 503
        )

    def metrics(self, request: Request) -> Response:
        """All counts in Prometheus' text format."""
        from starlette.responses import Response

        rules = self._report.sink.history.rules().values()
        model = next((str(rule["model_id"]) for rule in rules if "model_id" in rule), "")
        sources = self._report.control.status()
        text = exposition(self._report.telemetry, sources, model)
        return Response(text, headers={"content-type": CONTENT_TYPE})
