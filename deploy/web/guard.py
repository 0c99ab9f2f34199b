"""Guard around an application: who may come in, how many at a time, and protecting headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.web.access import PROBES, Access
from deploy.web.answers import json_answer, protected

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_ANSWERS = 128  # under way at a time, probes aside


class Guard:
    """Turns away who may not come in, and gives every answer the headers that protect the page.

    Probes are answered however many others there are: who restarts what does not answer must not be
    led to restart a run that does its work.

    Args:
        app: What answers.
        access: Who may come in.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access
        self._answers = 0  # under way, to others than probes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        from starlette.requests import HTTPConnection

        if scope["type"] != "http":
            return
        visitor = HTTPConnection(scope)
        refusal = self._access.refuse(
            scope["method"], scope["path"], visitor.headers, visitor.cookies
        )

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = protected(message.get("headers", ()))
            await send(message)

        if refusal is not None:
            await json_answer({"error": refusal.reason}, refusal.status)(scope, receive, guarded)
        elif scope["path"] in PROBES:
            await self._app(scope, receive, guarded)
        elif self._answers >= MOST_ANSWERS:
            await json_answer({"error": "too many visitors"}, 503)(scope, receive, guarded)
        else:
            self._answers += 1
            try:
                await self._app(scope, receive, guarded)
            finally:
                self._answers -= 1
