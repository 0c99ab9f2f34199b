"""Description of the HTTP API as OpenAPI 3.1; its schemas are those of `deploy.schemas`."""

from __future__ import annotations

from typing import Any

from deploy.schemas import NAMES, schema
from keras_ddl import __version__

PREFIX = "serve-"
IDENTITY = {
    "name": "identity",
    "in": "path",
    "required": True,
    "description": "of the video, from the answer to its upload",
    "schema": {"type": "string"},
}
FILE_NAME = {
    "name": "name",
    "in": "query",
    "description": "what the file is called; only shown",
    "schema": {"type": "string"},
}
PICTURE_NAME = {
    "name": "name",
    "in": "path",
    "required": True,
    "description": "as the result has it",
    "schema": {"type": "string"},
}
DOWNLOAD = {
    "name": "download",
    "in": "query",
    "description": "1 = as a file to be saved",
    "schema": {"type": "string"},
}
REFUSALS = {
    400: "it cannot be taken",
    401: "the token is missing",
    403: "sent by a page from somewhere else, by another name of this machine, or not offered",
    404: "there is none, or not any more",
    408: "it came too slowly",
    409: "it is not judged yet",
    413: "it is too large",
    429: "too many files of this visitor wait already; Retry-After says when to try again",
    503: "too many wait already; Retry-After says when to try again",
    507: "there is no room on the disk",
}
TAKING = (400, 408, 429, 503, 507)


def openapi(place: str = "") -> dict[str, Any]:
    """Return the description.

    Args:
        place: Path under which the API stands, as "/judge"; "" for one with a server of its own.
    """
    names = [name.removeprefix(PREFIX) for name in NAMES if name.startswith(PREFIX)]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "keras-ddl serve",
            "version": __version__,
            "description": "Send a video, ask where it is until it is done, read the verdicts.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": place or "/"}],
        "paths": _paths(),
        "components": {
            "schemas": {name: _embedded(f"{PREFIX}{name}") for name in names},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _paths() -> dict[str, Any]:
    api, one = "/api/v1", "/api/v1/videos/{identity}"
    file = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    address = {"type": "object", "properties": {"url": {"type": "string"}}, "required": ["url"]}
    link = {"application/json": {"schema": address}}
    return {
        f"{api}/about": {"get": _ask("Who judges, and what may be sent", "about")},
        f"{api}/videos": {
            "get": _ask("All videos, the newest first", "videos"),
            "post": {
                **_ask("Send a file: the body is the file", "accepted", 202, *TAKING, 413),
                "parameters": [FILE_NAME],
                "requestBody": {"required": True, "content": file},
            },
        },
        f"{api}/links": {
            "post": {
                **_ask("Have a file fetched", "accepted", 202, *TAKING),
                "requestBody": {"required": True, "content": link},
            }
        },
        one: {
            "parameters": [IDENTITY],
            "get": _ask("Where a video is", "video", 200, 404),
            "delete": {
                "summary": "Cancel a video, or remove its result",
                "responses": {"204": {"description": "it is gone"}, **_refusals(401, 403, 404)},
            },
        },
        f"{one}/result": {
            "parameters": [IDENTITY],
            "get": {
                **_ask("The verdicts", "result", 200, 404, 409),
                "parameters": [DOWNLOAD],
            },
        },
        f"{one}/pictures/{{name}}": {
            "parameters": [IDENTITY, PICTURE_NAME],
            "get": {
                "summary": "A picture that the result names",
                "responses": {
                    "200": {"description": "it", "content": {"image/jpeg": {}, "image/png": {}}},
                    **_refusals(401, 403, 404),
                },
            },
        },
    }


def _ask(summary: str, name: str, status: int = 200, *refusals: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    good = {str(status): {"description": summary, "content": content}}
    return {"summary": summary, "responses": {**good, **_refusals(401, 403, *refusals)}}


def _refusals(*codes: int) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}
    return {
        str(code): {"description": REFUSALS[code], "content": content} for code in sorted(codes)
    }


def _embedded(name: str) -> dict[str, Any]:
    found = schema(name)
    return {key: value for key, value in found.items() if key not in ("$schema", "$id")}
