"""Answers as JSON, the headers that protect a page, and bodies that have to be short."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

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


def protected(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers of an answer with those that protect the page, which nothing else may set."""
    ours = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
    return [*(pair for pair in headers if pair[0].decode("latin-1") not in HEADERS), *ours]


def to_json(data: Mapping[str, Any]) -> str:
    """Strict JSON in one line."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def json_answer(
    data: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """An answer that holds JSON."""
    from starlette.responses import Response

    return Response(to_json(data), status, headers, media_type="application/json")


def place_of(request: Request, path: str) -> str:
    """The address of a path of this application, which may stand under a path of another one."""
    return f"{request.scope.get('root_path', '')}{path}"


def path_in(request: Request) -> str:
    """The path that was asked for, as this application names it."""
    return request.url.path.removeprefix(place_of(request, ""))


def static_answer(package: str, name: str, kind: str) -> Response:
    """An answer that holds a file of a package's folder `static`."""
    from starlette.responses import Response

    return Response((files(package) / "static" / name).read_bytes(), media_type=kind)


async def short_body(request: Request, longest: int, seconds: float) -> bytes | None:
    """What was sent, also by who went away over it; None where that is more than `longest` bytes.

    Raises:
        asyncio.TimeoutError: It has not come within `seconds`.
    """

    from starlette.requests import ClientDisconnect

    async def read() -> bytes | None:
        body = b""
        with suppress(ClientDisconnect):
            async for chunk in request.stream():
                body += chunk
                if len(body) > longest:
                    return None
        return body

    return await asyncio.wait_for(read(), seconds)
