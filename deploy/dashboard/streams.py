"""Annotated pictures as one endless answer, MJPEG, for players and for other programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from deploy.dashboard.report import Report
from deploy.dashboard.sink import Jpeg, jpeg
from deploy.sinks.safe_names import SafeNames

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

STREAM = "/streams/{name}.mjpg"
BOUNDARY = "picture"
KIND = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
LOOK_S = 0.04  # for the next picture: 25 a second at most


class Streams:
    """One stream for each who asks; pictures are encoded once for all.

    A reader that is slow gets fewer pictures, always the newest: nothing waits for him.

    Args:
        report: The run.
        closing: Whether the server is on its way out.
    """

    def __init__(self, report: Report, closing: Callable[[], bool]) -> None:
        self._report = report
        self._closing = closing

    async def stream(self, request: Request) -> Response:
        """The pictures of a source, by its id or by its name as it stands in file names."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse, Response, StreamingResponse

        source = await run_in_threadpool(self._find, request.path_params["name"])
        if source is None:
            return JSONResponse({"error": "no such source"}, 404)
        if request.method == "HEAD":
            return Response(media_type=KIND)
        return StreamingResponse(self._parts(source), media_type=KIND)

    def _find(self, asked: str) -> str | None:
        """The name of a source."""
        if found := self._report.find(asked):
            return found.name
        names = SafeNames()
        safe = {names.of(source.name): source.name for source in self._report.sources()}
        return safe.get(asked)

    async def _parts(self, source: str) -> AsyncIterator[bytes]:
        from starlette.concurrency import run_in_threadpool

        sent = 0
        picture = await run_in_threadpool(self._first, source)
        yield f"--{BOUNDARY}\r\n".encode()
        while not self._closing():
            if picture is not None:
                sent = max(sent, picture.number)
                yield _part(picture.data)
            await asyncio.sleep(LOOK_S)
            picture = await run_in_threadpool(self._report.sink.pictures.get, source, sent)

    def _first(self, source: str) -> Jpeg | None:
        """What is there before pictures are drawn for whoever watches."""
        newest = self._report.sink.pictures.get(source, 0)
        if newest is not None:
            return newest
        image = self._report.control.snapshot(source)
        return None if image is None else Jpeg(0, jpeg(image))


def _part(data: bytes) -> bytes:
    """A picture and the boundary behind it, by which a reader knows at once that it is whole."""
    head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode()
