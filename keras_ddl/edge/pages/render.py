"""Rendering of a page, in an environment that escapes and knows no undefined names."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_ddl.edge.optional_import import need

if TYPE_CHECKING:
    from jinja2 import Environment

SHARED = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)


def render(folder: Path, template: str, script: str = "", **values: Any) -> str:
    """Return a page, or a part of one, as HTML text; equal values give an equal text.

    Args:
        folder: Of the template.
        template: Its file name; it may extend `base.html` and import `macros.html`.
        script: JavaScript of the page, the only one that its policy lets run.
        values: What the template names.

    Raises:
        UserError: Jinja is not installed.
    """
    policy = POLICY
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        policy += f"; script-src 'sha256-{digest}'"
    found = _environment(folder).get_template(template)
    return found.render(policy=policy, script=script, **values)


def style_sheet() -> str:
    """Return the style sheet of all pages, for a picture in a file of its own."""
    return (SHARED / "style.css").read_text(encoding="utf-8")


@lru_cache
def _environment(folder: Path) -> Environment:
    jinja2 = need("jinja2", "an HTML page")
    environment: Environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment
