"""Whose request it is, so that one visitor leaves places to others."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request

LONGEST = 64  # characters
OWN_BITS = 64  # of an IPv6 address: who has one has all that begin like it


def visitor_of(request: Request) -> str:
    """Who asks, by the address of the connection or as a proxy that is believed has it.

    All who come through the same address (a household, an office, a proxy that is not believed) are
    one visitor; so are all of one IPv6 network of 64 bits. The token tells nobody apart: a server
    has one.
    """
    client = request.client
    host = client.host if client else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:LONGEST]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((int(address), OWN_BITS), strict=False))
    return str(address)
