"""HLS master playlists: which of several qualities is opened, before any of them is downloaded."""

from __future__ import annotations

import base64
import logging
import re
from dataclasses import dataclass
from http.client import HTTPException
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit
from urllib.request import Request, urlopen

TIMEOUT_S = 5.0
MOST_BYTES = 1 << 20  # of a playlist
MOST_LINES = 10_000
_STREAM = "#EXT-X-STREAM-INF:"
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)')
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """One quality of a master playlist (RFC 8216, section 4.3.4.2).

    Args:
        address: Of its own playlist, as it is written: mostly relative.
        width: Of its pictures in pixels; 0 = not said.
        height: Likewise.
        bandwidth: Bits per second at most; 0 = not said.
    """

    address: str
    width: int
    height: int
    bandwidth: int

    @property
    def worth(self) -> tuple[int, int]:
        """By which the better of two is known: pixels, then bits per second."""
        return self.width * self.height, self.bandwidth


def read_variants(text: str) -> list[Variant]:
    """Return the qualities that a master playlist lists; of any other text none."""
    lines = [line.strip() for line in text.lstrip("\ufeff").splitlines()[:MOST_LINES]]
    if not lines or lines[0] != "#EXTM3U":
        return []
    found, pending = [], None
    for line in lines:
        if line.startswith(_STREAM):
            pending = dict(_ATTRIBUTE.findall(line[len(_STREAM) :]))
        elif line and not line.startswith("#"):
            if pending is not None:
                found.append(_variant(line, pending))
            pending = None
    return found


def _variant(address: str, attributes: dict[str, str]) -> Variant:
    size = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", attributes.get("RESOLUTION", ""))
    rate = re.fullmatch(r"\d{1,15}", attributes.get("BANDWIDTH", ""))
    width, height = (int(size[1]), int(size[2])) if size else (0, 0)
    return Variant(address, width, height, int(rate[0]) if rate else 0)


def choose_variant(variants: list[Variant], lines: int) -> Variant:
    """Of those with at most so many lines the best; where there is none, the smallest.

    Args:
        variants: One or more.
        lines: Height of a picture in pixels.
    """
    known = [v for v in variants if v.height] or variants  # sound alone has no height
    fits = [v for v in known if v.height <= lines]
    return max(fits, key=lambda v: v.worth) if fits else min(known, key=lambda v: v.worth)


def variant_address(url: str, name: str, lines: int) -> str:
    """Return the address of the quality to open: of a master playlist one, else `url` itself.

    What cannot be asked here (a certificate that is not trusted, an answer that is none) is left
    to whoever opens `url`.

    Args:
        url: `http(s)://`, with its credentials.
        name: For the log, without them.
        lines: See `choose_variant`.
    """
    try:
        text, place = _fetch(url)
    except (OSError, ValueError, HTTPException):
        return url
    variants = read_variants(text)
    if not variants:
        return url
    chosen = choose_variant(variants, lines)
    _log.info(
        "%s: of %d qualities %s×%s at %.1f Mbit/s",
        *(name, len(variants), chosen.width or "?", chosen.height or "?", chosen.bandwidth / 1e6),
    )
    return urljoin(place, chosen.address)


def _fetch(url: str) -> tuple[str, str]:
    """The text behind an address, and the address, with credentials, after redirections."""
    parts = urlsplit(url)
    secret, _, host = parts.netloc.rpartition("@")
    request = Request(urlunsplit(parts._replace(netloc=host)))
    if secret:
        coded = base64.b64encode(unquote(secret).encode()).decode()
        request.add_unredirected_header("Authorization", f"Basic {coded}")
    with urlopen(request, timeout=TIMEOUT_S) as answer:
        text = answer.read(MOST_BYTES).decode("utf-8", "replace")
        last = urlsplit(answer.geturl())
    if last.netloc == host:
        last = last._replace(netloc=parts.netloc)
    return text, urlunsplit(last)
