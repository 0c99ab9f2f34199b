"""Signing in with the token: by a form, or by a link that holds it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from deploy.web.access import Access
from deploy.web.answers import json_answer, place_of, short_body

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

LOGIN, SESSION = "/api/login", "/api/session"
WRONG_TOKEN_S = 0.5  # how long a wrong token has to wait for its answer
LONGEST_LOGIN = 4096  # bytes
LOGIN_S = 5.0  # for them to arrive


class SignIn:
    """The two addresses of signing in; a cookie then stands for the token.

    Args:
        access: Knows the token.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> list[Route]:
        """Its addresses."""
        from starlette.routing import Route

        return [Route(LOGIN, self.login, methods=["POST"]), Route(SESSION, self.session)]

    async def login(self, request: Request) -> Response:
        """Sign in with `{"token": …}`."""
        try:
            body = await short_body(request, LONGEST_LOGIN, LOGIN_S)
        except asyncio.TimeoutError:
            return json_answer({"error": "expected a token at once"}, 408)
        if body is None:
            return json_answer({"error": "too long for a token"}, 413)
        try:
            token = json.loads(body)["token"]
        except (ValueError, KeyError, TypeError, RecursionError):
            token = None
        if not isinstance(token, str):
            return json_answer({"error": 'expected {"token": "…"}'}, 400)
        return await self._signed_in(token)

    async def session(self, request: Request) -> Response:
        """Whether this visitor may see the rest, so that a page can ask for the token."""
        return json_answer({"signed_in": self._access.admits(request.headers, request.cookies)})

    async def by_link(self, request: Request) -> Response:
        """Sign in by a page's address that ends with `?token=…`, and go on without it."""
        return await self._signed_in(request.query_params["token"], place_of(request, "/"))

    async def _signed_in(self, token: str, then: str = "") -> Response:
        if not self._access.opens(token):
            await asyncio.sleep(WRONG_TOKEN_S)
            return json_answer({"error": "this is not the token"}, 401)
        response = json_answer({"signed_in": True}, 303 if then else 200)
        if then:
            response.headers["location"] = then
        response.set_cookie(
            self._access.cookie_name, self._access.cookie, httponly=True, samesite="strict"
        )
        return response
