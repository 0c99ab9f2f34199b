"""Addresses that may be fetched from: http and https on the public internet, unless told otherwise.

Who lets strangers name addresses lets them ask in this machine's name (SSRF). So a name is resolved
here, every address that it has must be a public one, and the connection goes to the address that
was checked, not to the name again; redirects are held to the same.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

KEPT = "%/?:@!$&'()*+,;=~-._"  # what a path and a query may hold as it is
SCHEMES = {"http": 80, "https": 443}
LONGEST = 2048  # characters
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_APART = tuple(  # what not every Python here knows as special, and a cloud's address for its guests
    map(
        ipaddress.ip_network,
        ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "fec0::/10", "3fff::/20"),
    )
)


class RefusedError(Exception):
    """An address that is not fetched from; its words are for the visitor."""


@dataclass(frozen=True)
class Target:
    """A checked address of a file.

    Attributes:
        secure: Whether over TLS.
        host: As in the address, for `Host` and the certificate.
        port: Its port.
        path: With its query.
        url: The whole of it.
    """

    secure: bool
    host: str
    port: int
    path: str
    url: str


def read_target(url: str) -> Target:
    """Take an address apart.

    Raises:
        RefusedError: it is none, or not of the kind that is fetched from.
    """
    if len(url) > LONGEST or any(ord(c) <= 32 or "\ud800" <= c <= "\udfff" for c in url):
        raise RefusedError(f"expected a link of at most {LONGEST} characters without spaces")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
        if "[" in parts.netloc:  # Python 3.10 takes anything between brackets
            ipaddress.IPv6Address(host)
    except ValueError:
        raise RefusedError("expected a link, received one whose host cannot be read") from None
    if parts.scheme not in SCHEMES:
        raise RefusedError("expected a link that begins with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise RefusedError("expected a link without user name and password")
    if not host:
        raise RefusedError("expected a link with a host in it")
    query = f"?{quote(parts.query, safe=KEPT)}" if parts.query else ""
    path = quote(parts.path or "/", safe=KEPT) + query
    return Target(parts.scheme == "https", host, port or SCHEMES[parts.scheme], path, url)


def redirected(target: Target, location: str) -> Target:
    """Where an answer leads to.

    Raises:
        RefusedError: as `read_target`, or from https back to http.
    """
    try:
        url = urljoin(target.url, location)
    except ValueError:
        raise RefusedError("expected a link, received a redirect that cannot be read") from None
    after = read_target(url)
    if target.secure and not after.secure:
        raise RefusedError("expected https all the way, received a redirect to http")
    return after


def resolve(target: Target, private: bool) -> tuple[str, int]:
    """The address to connect to, which is not asked for again.

    Args:
        target: Of the link.
        private: Whether others than public ones will do.

    Raises:
        RefusedError: there is none, or one of them is not public.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise RefusedError(f"nobody knows a machine called '{target.host}'") from None
    addresses = [str(place[0]) for *_, place in found]
    if not private and not all(map(is_public, addresses)):
        raise RefusedError(f"'{target.host}' is not on the public internet; such links are refused")
    return addresses[0], target.port


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet, whatever form it is written in."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            return is_public(str(inner))
    reserved = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not reserved and not any(address in net for net in _APART)
