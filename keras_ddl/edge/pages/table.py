"""Tables of a page as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Small(NamedTuple):
    """Small print below the text of a cell.

    Args:
        words: The text.
        style: Its class in the style sheet, "" for none.
    """

    words: str
    style: str = ""


@dataclass(frozen=True)
class Cell:
    """Cell of a table that holds more than plain text.

    Args:
        text: What stands in it.
        small: Lines of small print below.
        style: Class of the text, "" for none; `best` is bold.
        title: Words that appear when pointed at.
        href: Where the text leads, "" for nowhere.
    """

    text: str
    small: Sequence[Small] = ()
    style: str = ""
    title: str = ""
    href: str = ""


Row = Sequence["Cell | str"]


@dataclass(frozen=True)
class Table:
    """Table in a box that scrolls sideways.

    Args:
        name: Its class.
        heads: Words of the head.
        groups: By their heading ("" for none) the rows; the first cell names the row.
    """

    name: str
    heads: Sequence[str]
    groups: Mapping[str, Sequence[Row]]
