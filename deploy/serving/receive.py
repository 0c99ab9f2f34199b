"""Reception of an upload: the body of a request, as it comes, into the folder of its job."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from deploy.serving.job import Job
from deploy.serving.limits import Limits
from deploy.web.answers import to_json

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Receive, Scope, Send

BLOCK = 1 << 20  # bytes that are written at a time
DRAIN_S = 2.0  # for how long a body that is refused is read and thrown away


class UploadError(Exception):
    """An upload that is not taken.

    Args:
        status: HTTP status.
        reason: For the visitor.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def announced(request: Request, limits: Limits) -> int | None:
    """How many bytes a request says that it brings; None where it does not.

    Raises:
        UploadError: more than may, or none.
    """
    text = request.headers.get("content-length")
    if text is None or not (text.isascii() and text.isdecimal()):
        return None
    size = int(text[:18])
    if size > limits.most_bytes:
        raise UploadError(413, limits.too_large(size))
    if size == 0:
        raise UploadError(400, "expected a video, received an empty file (0 bytes)")
    return size


async def receive(request: Request, job: Job, limits: Limits, size: int | None) -> None:
    """Write a body to the job's file, and tell the share that is here.

    Args:
        request: Its body is the file.
        job: Its folder is there.
        limits: On size and time.
        size: As `announced`.

    Raises:
        UploadError: too large after all, empty, too slow, or nobody wants it any more.
        ClientDisconnect: who sent it went away.
        OSError: no room.
    """
    from starlette.concurrency import run_in_threadpool

    ends = time.monotonic() + limits.transfer_s
    with job.video.open("wb") as file:
        block = bytearray()
        async for chunk in _chunks(request, limits.silent_s):
            job.size += len(chunk)
            if job.size > limits.most_bytes:
                raise UploadError(413, limits.too_large())
            if time.monotonic() > ends:
                raise UploadError(408, f"not here after {limits.transfer_s:g} s")
            if job.cancelled.is_set():
                raise UploadError(410, "given up")
            job.share = job.size / size if size else 0.0
            block += chunk
            if len(block) >= BLOCK:
                await run_in_threadpool(_write, file, bytes(block))
                block.clear()
        await run_in_threadpool(_write, file, bytes(block))
    if job.size == 0:
        raise UploadError(400, "expected a video, received an empty file (0 bytes)")


def _write(file: IO[bytes], block: bytes) -> None:
    file.write(block)


async def _chunks(request: Request, silent_s: float) -> AsyncIterator[bytes]:
    """The parts of a body, none of which takes longer than `silent_s`."""
    parts = request.stream().__aiter__()
    while True:
        try:
            yield await asyncio.wait_for(parts.__anext__(), silent_s)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise UploadError(408, f"nothing came for {silent_s:g} s") from None


class CutOff:
    """Answer to a request whose body is not wanted: it goes out at once, before all of that came.

    Then it reads on for a moment: who is cut off in the middle of sending never reads an answer.

    Args:
        refusal: The answer.
        status: HTTP status.
        headers: Further ones.
    """

    def __init__(
        self, refusal: Mapping[str, str], status: int, headers: Mapping[str, str] | None = None
    ) -> None:
        self._body = to_json(refusal).encode()
        told = {"content-type": "application/json", "connection": "close", **(headers or {})}
        told["content-length"] = str(len(self._body))
        self._headers = [(name.encode(), value.encode()) for name, value in told.items()]
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, as ASGI has it."""
        start = {"type": "http.response.start", "status": self._status, "headers": self._headers}
        await send(start)
        await send({"type": "http.response.body", "body": self._body, "more_body": True})
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_drain(receive), DRAIN_S)
        await send({"type": "http.response.body", "body": b""})


async def _drain(receive: Receive) -> None:
    while (message := await receive())["type"] == "http.request":
        if not message.get("more_body"):
            return
