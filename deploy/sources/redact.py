"""Redaction of secrets in addresses: what is shown is what is known to be harmless."""

from __future__ import annotations

import re
from urllib.parse import urlsplit, urlunsplit

from keras_ddl.edge.files import printable

HIDDEN = "***"
OWN_SCHEMES = ("csi", "screen", "synthetic")  # whose options are this program's
# Parameters that tell two streams of one device apart and are no secrets, with short plain values.
HARMLESS = frozenset(
    "camera channel codec fps height profile quality resolution size stream subtype track transport"
    " width".split()
)
_PLAIN = re.compile(r"[\w.:x-]{1,16}", re.ASCII)


def redact(url: str) -> str:
    """Show scheme, host, path and harmless parameters of an address; hide all else.

    Hidden are user and password, every other parameter with its name, what comes behind `;` or `=`
    in the path, and the fragment. Of a path on this machine all is shown, unless it begins like a
    user and password before a host. What cannot be printed is shown as its escape.
    """
    url = printable(url)
    url = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in url)
    scheme, slashes, rest = url.partition("://")
    if not slashes and not looks_mistyped(url):
        return re.sub(r"^[^/:]*:.*@", f"{HIDDEN}@", url)
    if not slashes:
        scheme, slashes, rest = _mistyped(url)
    if scheme.lower() in OWN_SCHEMES:
        return url
    if "@" in rest:  # a password may hold "/", "?", "#" and "@"
        rest = f"{HIDDEN}@{rest.rpartition('@')[2]}"
    try:
        parts = urlsplit(f"x://{rest}")
    except ValueError:  # no address by the rules; secrets it may hold all the same
        shown = re.split(r"[?#;=]", rest)[0]
        return f"{scheme}{slashes}{shown}" + (HIDDEN if shown != rest else "")
    text = urlunsplit(("x", parts.netloc, _path(parts.path), _query(parts.query), ""))
    return f"{scheme}{slashes}{text.partition('://')[2]}"


def looks_mistyped(text: str) -> bool:
    """Whether a text begins like an address, with a slash or two too few."""
    return bool(re.match(r"(?i)(rtsps?|https?|csi|screen|synthetic):(?!//)", text))


def _mistyped(url: str) -> tuple[str, str, str]:
    scheme, _, rest = url.partition(":")
    return scheme, ":/" if rest.startswith("/") else ":", rest.lstrip("/")


def _path(path: str) -> str:
    """The segments of a path up to their parameters."""
    segments = []
    for segment in path.split("/"):
        shown = re.split(r"[;=]", segment)[0]
        segments.append(shown if shown == segment else HIDDEN)
    return "/".join(segments)


def _query(query: str) -> str:
    shown, hidden = [], False
    for part in re.split("[&;]", query):
        name, equals, value = part.partition("=")
        if equals and name.lower() in HARMLESS and _PLAIN.fullmatch(value):
            shown.append(part)
        else:
            hidden = hidden or bool(part)
    return "&".join([*shown, HIDDEN] if hidden else shown)
