"""JSON Schemas (2020-12) of all records that the commands of this half write.

They allow fields that they do not name: a later version may add some, and changes `schema` where
one changes its meaning. docs/json-lines.md, docs/scan.md and docs/serve.md say the same in words.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

NAMES = (
    "stream-line",  # a line of `deploy/stream.py`, and of records/ of a scan
    "scan-file",  # a line of scan.jsonl
    "scan-summary",  # scan.json
    "serve-about",
    "serve-video",
    "serve-videos",
    "serve-result",
    "serve-accepted",
    "serve-error",
)


def schema(name: str) -> dict[str, Any]:
    """Return a schema by its name, one of `NAMES`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in NAMES:
        raise ValueError(f"expected one of {', '.join(NAMES)}, received {name!r}")
    text = (files("deploy.schemas") / f"{name}.schema.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
