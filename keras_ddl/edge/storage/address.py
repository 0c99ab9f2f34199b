"""Addresses of files and folders elsewhere: `s3://bucket/folder`, `gs://…`, `https://…`."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from keras_ddl.edge.errors import USAGE, UserError

SCHEMES = {"s3": "s3", "gs": "gs", "gcs": "gs", "http": "http", "https": "http"}
"""Schemes that are taken, and the extra that brings what each needs."""
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)


class Address(str):
    """An address of a file or folder that is not on this machine.

    It is a text, because `pathlib` would make one slash of two.
    """

    __slots__ = ()

    @property
    def scheme(self) -> str:
        """What stands before `://`, in small letters."""
        return self.partition("://")[0].lower()

    @property
    def name(self) -> str:
        """The last part of its path, without a query."""
        return self.partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The name's suffix with its point, "" without one."""
        return Path(self.name).suffix

    def __truediv__(self, name: str) -> Address:
        """Return the address of what lies below, as `Path` does."""
        return Address(f"{self.rstrip('/')}/{name}")


def is_address(text: str) -> bool:
    """Whether a text is an address that `location` takes for one."""
    found = _SCHEME.fullmatch(text)
    return bool(found and found[1].lower() in SCHEMES and found[2].strip("/"))


def place(text: str) -> Path | Address:
    """As `location`, for use as the type of an option."""
    try:
        return location(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def location(text: str) -> Path | Address:
    """Return a path of this machine, or an address.

    Raises:
        UserError: The scheme is none that is taken, or nothing follows it.
    """
    found = _SCHEME.fullmatch(text)
    if not found:
        return Path(text)
    scheme, rest = found[1].lower(), found[2]
    if scheme == "file":
        return Path(rest)
    if not is_address(text):
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise UserError(f"expected a path or an address ({known}), received '{text}'", USAGE)
    return Address(text)


def absolute(place: Path | Address) -> str:
    """Return a place as another process finds it: a path from the root on, or the address."""
    return str(place) if isinstance(place, Address) else str(Path(place).resolve())
