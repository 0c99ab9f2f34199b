"""What can be played of an MP4 file whose writer was cut short."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

HEADER = 8  # bytes of a box: size and kind


def cut_to_whole_fragments(path: Path) -> bool:
    """Cut off what comes after the last whole fragment of a fragmented MP4 file.

    Returns:
        Whether there was one: without, nothing can be played.

    Raises:
        OSError: the file cannot be read or cut.
    """
    whole = 0
    with path.open("r+b") as file:
        for kind, end in _boxes(file, path.stat().st_size):
            if kind == b"mdat":  # the pictures of the fragment that the box before describes
                whole = end
        file.truncate(whole)
    return whole > 0


def _boxes(file: BinaryIO, length: int) -> Iterator[tuple[bytes, int]]:
    """Kind and end of every whole box at the top of the file (ISO/IEC 14496-12, 4.2)."""
    begin = 0
    while begin + HEADER <= length:
        file.seek(begin)
        size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if size == 1:  # it stands behind the kind, for more than 4 GiB
            size = int.from_bytes(file.read(8), "big")
        begin += size
        if size < HEADER or begin > length:
            return
        yield kind, begin
