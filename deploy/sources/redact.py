"""Addresses without their secrets."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

SECRET_WORDS = ("auth", "key", "pass", "pwd", "secret", "sig", "token")
HIDDEN = "***"


def redact(url: str) -> str:
    """Hide user, password and secret-looking query values of a URL."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")
    netloc = f"{HIDDEN}@{place[2]}" if place[1] else parts.netloc
    query = [
        (name, HIDDEN if any(word in name.lower() for word in SECRET_WORDS) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query, safe="*"), ""))
