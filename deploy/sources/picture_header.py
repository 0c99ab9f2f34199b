"""Headers of pictures: how large one is, and how many it holds, before it is decoded."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SIZED = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # JPEG's frame headers


@dataclass(frozen=True)
class PictureHeader:
    """What a file says of its picture.

    Args:
        width, height: In pixels; 0 where the format is not known here.
        animated: Whether it holds several pictures.
    """

    width: int = 0
    height: int = 0
    animated: bool = False


def read_header(data: bytes) -> PictureHeader:
    """Read the header of a PNG, JPEG, WebP or BMP file; of anything else, or damage, nothing.

    Args:
        data: The file's beginning; a JPEG's sizes may lie behind long comments.
    """
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            first = data.find(b"IDAT")
            moves = 0 <= data.find(b"acTL") < (first if first >= 0 else len(data))
            width, height = struct.unpack(">II", data[16:24])
            return PictureHeader(width, height, moves)
        if data.startswith(b"\xff\xd8"):
            return _jpeg(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
        if data.startswith(b"BM"):
            width, height = struct.unpack("<ii", data[18:26])
            return PictureHeader(abs(width), abs(height))
    except (struct.error, IndexError):  # shorter than its own header
        return PictureHeader()
    return PictureHeader()


def _jpeg(data: bytes) -> PictureHeader:
    place = 2
    while True:
        marker, length = struct.unpack(">xBH", data[place : place + 4])
        if marker in _SIZED:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return PictureHeader(width, height)
        place += 2 + length


def _webp(data: bytes) -> PictureHeader:
    kind = data[12:16]
    if kind == b"VP8X":
        wide = int.from_bytes(data[24:27], "little") + 1
        high = int.from_bytes(data[27:30], "little") + 1
        return PictureHeader(wide, high, bool(data[20] & 2))
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return PictureHeader((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack("<HH", data[26:30])
    return PictureHeader(width & 0x3FFF, height & 0x3FFF)
