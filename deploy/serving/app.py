"""ASGI application of the server: the page, and the HTTP API under `/api/v1`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploy.serving.addresses import RefusedError, read_target
from deploy.serving.desk import Desk, FullError
from deploy.serving.job import LINK, UPLOAD, Job, State
from deploy.serving.names import name_from_link, shown_name
from deploy.serving.openapi import openapi
from deploy.serving.receive import CutOff, UploadError, announced, receive
from deploy.serving.slot import INTERNAL, Slots
from deploy.serving.visitors import visitor_of
from deploy.web.access import Access
from deploy.web.answers import json_answer, path_in, place_of, short_body, static_answer
from deploy.web.guard import Guard
from deploy.web.sign_in import LOGIN, SESSION, SignIn

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

API = "/api/v1"
PAGE = {  # address → package, file, kind
    "/": ("deploy.serving", "index.html", "text/html"),
    "/app.js": ("deploy.serving", "app.js", "text/javascript"),
    "/result.js": ("deploy.serving", "result.js", "text/javascript"),
    "/timeline.js": ("deploy.serving", "timeline.js", "text/javascript"),
    "/serve.css": ("deploy.serving", "serve.css", "text/css"),
    "/sign_in.js": ("deploy.web", "sign_in.js", "text/javascript"),
    "/parts.js": ("deploy.web", "parts.js", "text/javascript"),
    "/base.css": ("deploy.web", "base.css", "text/css"),
    "/icon.svg": ("deploy.web", "icon.svg", "image/svg+xml"),
}
PUBLIC = frozenset({*PAGE, LOGIN, SESSION})
LONGEST_LINK_BODY = 8192  # bytes
BODY_S = 10.0  # for it to arrive
KINDS = {".png": "image/png", ".jpg": "image/jpeg"}
UNKNOWN = "there is no such video here, or not any more"
NO_ROOM = "there is no room for the file on this server"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Offer:
    """What this server offers.

    Attributes:
        about: Who judges.
        links: Whether links are taken.
        history: Whether there is a list of all files.
        keep_videos: Whether the videos stay too.
        dashboard: Whether the page is part of a dashboard, which is one level up.
    """

    about: Mapping[str, Any]
    links: bool = False
    history: bool = True
    keep_videos: bool = False
    dashboard: bool = False


class App:
    """One function per address. Those without `async` run on a thread of a pool.

    Args:
        desk: The files.
        offer: What is offered.
        access: Who may come in.
        slots: What fetches and judges.
    """

    def __init__(self, desk: Desk, offer: Offer, access: Access, slots: Slots) -> None:
        self._desk = desk
        self._offer = offer
        self._access = access
        self._slots = slots
        self._sign_in = SignIn(access)

    def guarded(self) -> ASGIApp:
        """The application that a server runs."""
        return Guard(self.asgi(), self._access)

    def asgi(self) -> ASGIApp:
        """The application without its guard, for a server that has one."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        video = f"{API}/videos/{{identity}}"
        routes = [Route(path, self.page) for path in PAGE]
        routes += [
            *self._sign_in.routes(),
            Route(f"{API}/about", self.about),
            Route(f"{API}/videos", self.history),
            Route(f"{API}/videos", self.upload, methods=["POST"]),
            Route(f"{API}/links", self.link, methods=["POST"]),
            Route(video, self.job),
            Route(video, self.remove, methods=["DELETE"]),
            Route(f"{video}/result", self.result),
            Route(f"{video}/pictures/{{name}}", self.picture),
            Route("/openapi.json", self.description),
            Route("/healthz", self.healthz),
            Route("/readyz", self.healthz),
        ]
        handlers = {404: _no_such, 405: _no_such, 500: _broken}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def page(self, request: Request) -> Response:
        """The page without its contents; `/?token=…` signs in first."""
        if "token" in request.query_params:
            return await self._sign_in.by_link(request)
        return static_answer(*PAGE[path_in(request)])

    async def about(self, request: Request) -> Response:
        """Who judges, and what may be sent."""
        limits, offer = self._desk.limits, self._offer
        told = {
            "max_bytes": limits.most_bytes,
            "max_seconds": limits.longest_s,
            "max_waiting": limits.waiting,
            "max_waiting_each": limits.waiting_each,
            "at_a_time": limits.jobs,
        }
        keeps = self._desk.store.keeps
        kept = {"results": keeps, "videos": offer.keep_videos}
        kept_s = None if keeps else limits.kept_s
        facts = {"limits": told, "links": offer.links, "history": offer.history}
        facts |= {"kept": kept, "kept_s": kept_s, "dashboard": offer.dashboard}
        return json_answer({**offer.about, **facts})

    async def upload(self, request: Request) -> Response | CutOff:
        """Take a file: the body is the file, `?name=` what it is called."""
        from starlette.requests import ClientDisconnect

        job: Job | None = None
        try:
            size = announced(request, self._desk.limits)
            name = shown_name(request.query_params.get("name", ""))
            job = self._desk.admit(name, UPLOAD, visitor_of(request))
            await receive(request, job, self._desk.limits, size)
            self._desk.hand_in(job)
            return _accepted(request, job)
        except UploadError as error:
            return CutOff(_refusal(str(error)), error.status)
        except FullError as error:
            headers = {"retry-after": str(error.retry_after_s)}
            return CutOff(_refusal(str(error)), error.status, headers)
        except ClientDisconnect:
            return CutOff(_refusal("the connection broke off"), 400)
        except OSError as error:
            log.warning("an upload could not be written: %s", error)
            return CutOff(_refusal(NO_ROOM), 507)
        finally:
            if job is not None and job.state is State.RECEIVING:
                self._desk.drop(job)

    async def link(self, request: Request) -> Response:
        """Take the address of a file, `{"url": …}`."""
        if not self._offer.links:
            why = "links are not taken here; download the video and send the file"
            return json_answer(_refusal(why), 403)
        try:
            body = await short_body(request, LONGEST_LINK_BODY, BODY_S)
        except asyncio.TimeoutError:
            return json_answer(_refusal("expected a link at once"), 408)
        try:
            url = json.loads(body or b"null")["url"].strip()
            read_target(url)
            job = self._desk.admit(name_from_link(url), LINK, visitor_of(request), url)
        except RefusedError as error:
            return json_answer(_refusal(str(error)), 400)
        except FullError as error:
            headers = {"retry-after": str(error.retry_after_s)}
            return json_answer(_refusal(str(error)), error.status, headers)
        except OSError as error:
            log.warning("there is no room for what is behind a link: %s", error)
            return json_answer(_refusal(NO_ROOM), 507)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return json_answer(_refusal('expected {"url": "https://…"}'), 400)
        self._slots.fetch(job)
        return _accepted(request, job)

    def history(self, request: Request) -> Response:
        """All files, the newest first; none where there is no common list."""
        return json_answer({"videos": self._desk.history() if self._offer.history else []})

    def job(self, request: Request) -> Response:
        """Where a file is."""
        told = self._desk.tell(request.path_params["identity"])
        return json_answer(_refusal(UNKNOWN), 404) if told is None else json_answer(told)

    def result(self, request: Request) -> Response:
        """The result; with `?download=1` as a file."""
        identity = request.path_params["identity"]
        result = self._desk.store.read(identity)
        if result is None:
            if self._desk.tell(identity) is not None:
                return json_answer(_refusal("it is not judged yet"), 409)
            return json_answer(_refusal(UNKNOWN), 404)
        headers = {}
        if "download" in request.query_params:
            headers["content-disposition"] = f'attachment; filename="verdict-{identity}.json"'
        return json_answer(result, 200, headers)

    def picture(self, request: Request) -> Response:
        """A picture that a result names."""
        from starlette.responses import Response

        params = request.path_params
        path = self._desk.store.picture(params["identity"], params["name"])
        none = json_answer(_refusal("there is no such picture"), 404)
        if path is None or path.suffix not in KINDS:
            return none
        try:  # whole, and now: it may be removed at any moment
            return Response(path.read_bytes(), media_type=KINDS[path.suffix])
        except FileNotFoundError:
            return none

    def remove(self, request: Request) -> Response:
        """Cancel a file, or remove its result."""
        from starlette.responses import Response

        if not self._desk.remove(request.path_params["identity"]):
            return json_answer(_refusal(UNKNOWN), 404)
        return Response(status_code=204)

    def description(self, request: Request) -> Response:
        """This API as OpenAPI 3.1."""
        return json_answer(openapi(place_of(request, "")))

    def healthz(self, request: Request) -> Response:
        """Whether the process and its threads live, and how many files there are."""
        alive = self._slots.alive
        under_way, remembered = self._desk.busy()
        facts = {"alive": alive, "under_way": under_way, "results": remembered}
        return json_answer(facts, 200 if alive else 503)


def _accepted(request: Request, job: Job) -> Response:
    place = place_of(request, f"{API}/videos/{job.id}")
    told = {"id": job.id, "name": job.name, "state": job.state.value, "href": place}
    return json_answer(told, 202, {"location": place})


async def _no_such(request: Request, error: Exception) -> Response:
    """What Starlette refuses, in the form of all other errors."""
    status, headers = getattr(error, "status_code", 404), getattr(error, "headers", None)
    described = place_of(request, "/openapi.json")
    why = f"there is nothing here for {request.method}; {described} has what there is"
    return json_answer(_refusal(why), status, headers)


async def _broken(request: Request, error: Exception) -> Response:
    return json_answer(_refusal(INTERNAL), 500)


def _refusal(reason: str) -> dict[str, str]:
    return {"error": reason}
