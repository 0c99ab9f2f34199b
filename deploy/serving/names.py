"""Names of uploads for people, and ids that nobody guesses."""

from __future__ import annotations

import re
import secrets
from urllib.parse import unquote, urlsplit

LONGEST = 120  # characters of a name
NAMELESS = "video"
_ID = re.compile(r"[A-Za-z0-9_-]{22}")


def new_id() -> str:
    """An id of 128 random bits, for an address."""
    return secrets.token_urlsafe(16)


def is_id(text: str) -> bool:
    """Whether a text may be such an id; nothing else is ever looked up on the disk."""
    return _ID.fullmatch(text) is not None


def shown_name(text: str) -> str:
    """What a file is called by people: no folders, nothing that is not printed, not too long."""
    last = text.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable()).strip()[:LONGEST] or NAMELESS


def name_from_link(url: str) -> str:
    """What a file behind an address is called."""
    return shown_name(unquote(urlsplit(url).path, errors="replace"))
