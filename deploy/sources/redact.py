"""Redaction of secrets in addresses."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

SECRET_WORDS = ("auth", "key", "pass", "pwd", "secret", "sig", "token")
HIDDEN = "***"
# Some cameras take the password in the path: /user=admin_password=…_channel=1.
IN_PATH = re.compile(rf"(?i)([\w.-]*(?:{'|'.join(SECRET_WORDS)})[\w.-]*=)[^/&;]*")


def redact(url: str) -> str:
    """Hide user, password and secret-looking values in query and path of a URL."""
    start, _, rest = url.partition("://")
    if ":" in rest.partition("@")[0] and "@" in rest:  # a password may hold "/", "?" and "#"
        url = f"{start}://{HIDDEN}@{rest.rpartition('@')[2]}"
    try:
        parts = urlsplit(url)
    except ValueError:  # not a URL by the rules; secrets it may hold all the same
        return IN_PATH.sub(rf"\1{HIDDEN}", re.sub(r"//.*@", f"//{HIDDEN}@", url))
    place = parts.netloc.rpartition("@")
    netloc = f"{HIDDEN}@{place[2]}" if place[1] else parts.netloc
    path = IN_PATH.sub(rf"\1{HIDDEN}", parts.path)
    query = [
        (name, HIDDEN if any(word in name.lower() for word in SECRET_WORDS) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    shown = urlencode(query, safe="*/:", quote_via=quote)
    text = urlunsplit((parts.scheme, netloc, path, shown, ""))
    return text if "://" in text else text.replace(":", "://", 1)  # an address may have no host
