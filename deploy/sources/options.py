"""Options in the query of a source's address: `synthetic://?faces=2`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.values import unknown


def split_address(text: str, form: str) -> SplitResult:
    """Take an address of this program's own schemes apart.

    Args:
        text: The address.
        form: What it should look like, for the error.

    Raises:
        UserError: It is none by the rules, or has a fragment, which means nothing here.
    """
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise UserError(f"expected {form}, received {text}: {error}") from None
    if parts.fragment or text.endswith("#"):
        raise UserError(f"expected {form}, received {text}; leave out what follows the #")
    return parts


def read_options(
    what: str, query: str, known: Mapping[str, Callable[[str], Any]]
) -> dict[str, Any]:
    """Parse a query.

    Args:
        what: The source, for errors.
        query: `name=value&…`.
        known: A parser per name, which raises a ValueError that says what it expected.

    Returns:
        The values that are given, by name.

    Raises:
        UserError: an unknown name (the nearest is said), one given twice, or a value out of range.
    """
    values: dict[str, Any] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UserError(f"{what}: {unknown('option', name, known)}")
        if name in values:
            raise UserError(f"{what}: {name}: expected one value, received another; leave one out")
        try:
            values[name] = known[name](text)
        except ValueError as error:
            raise UserError(
                f"{what}: {name}: expected {error}, received {text!r}; write {name}=VALUE, with & "
                "before the next"
            ) from None
    return values


def whole(low: int, high: int) -> Callable[[str], int]:
    """A parser of whole numbers from `low` to `high`."""
    choice = "0 or 1" if (low, high) == (0, 1) else f"a whole number from {low} to {high}"

    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(choice)
        return int(text)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """A parser of numbers above `low`, up to `high`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low < value <= high:
            raise ValueError(f"a number above {low:g}, up to {high:g}")
        return value

    return parse


def picture_size(text: str) -> tuple[int, int]:
    """Parse WIDTHxHEIGHT in pixels."""
    width, _, height = text.partition("x")
    sides = [int(side) for side in (width, height) if side.isdecimal() and 16 <= int(side) <= 8192]
    if len(sides) != 2:
        raise ValueError("WIDTHxHEIGHT in pixels, 16 to 8192 each, such as 640x480")
    return sides[0], sides[1]
