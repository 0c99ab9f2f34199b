"""Rotated file of lines, which are written whole or not at all."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)

BLOCK = 1 << 16


class RotatingFile:
    """A file of lines: one that could not be written whole is taken back, never left half.

    Without `max_bytes` an existing file is replaced; with it, it is continued, and a line that a
    killed writer left unfinished is cut off first.

    Args:
        path: The newest file; older ones are PATH.1 (the next older) to PATH.N.
        max_bytes: Size from which the file is rotated; None = never.
        keep: Largest N.

    Raises:
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, max_bytes: int | None, keep: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._file = path.open("wb" if max_bytes is None else "ab", buffering=0)
        status = os.fstat(self._file.fileno())
        self._regular = stat.S_ISREG(status.st_mode)  # else a pipe or a device
        self._size = status.st_size if self._regular else 0
        self._head = b""  # what a new file begins with, as long as it is not written
        self._repeated = 0  # bytes of it that are written
        self._stuck_until = 0  # bytes from which rotating is tried again
        if self._regular and self._size:
            self._cut_unfinished()

    def is_full_with(self, lines: bytes) -> bool:
        """Whether these lines belong into a new file."""
        if self._max_bytes is None or not self._regular or self._size <= self._repeated:
            return False
        return self._size + len(lines) > max(self._max_bytes, self._stuck_until)

    def append(self, lines: bytes) -> None:
        """Write lines, all of them or none.

        Raises:
            OSError: no room.
        """
        rest = memoryview(self._head + lines)
        wanted = len(rest)
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except OSError:
            if self._regular:
                self._file.seek(self._size)
                self._file.truncate()
            raise
        self._size += wanted
        if self._head:
            self._repeated, self._head = len(self._head), b""

    def rotate(self, head: bytes) -> None:
        """Move every file one number on; the new one will begin with `head`.

        Where the folder does not allow that, one line says so and the file goes on.
        """
        fresh = self._path.with_name(f".{self._path.name}.next")
        try:
            newer = fresh.open("wb", buffering=0)
        except OSError as error:
            self._grow_on(error)
            return
        try:
            for number in range(self._keep - 1, 0, -1):
                if self._numbered(number).exists():
                    self._numbered(number).replace(self._numbered(number + 1))
            self._path.replace(self._numbered(1))
            fresh.replace(self._path)
        except OSError as error:
            newer.close()
            self._grow_on(error)
            return
        self._file.close()
        self._file, self._size, self._stuck_until = newer, 0, 0
        self._head, self._repeated = head, 0

    def _grow_on(self, error: OSError) -> None:
        if not self._stuck_until:
            log.warning("%s: cannot be rotated, it grows on: %s", self._path, error.strerror)
        self._stuck_until = self._size + (self._max_bytes or 0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _cut_unfinished(self) -> None:
        with self._path.open("rb") as file:
            whole = _end_of_last_line(file, self._size)
        if whole < self._size:
            log.warning("%s: its last line was unfinished and is cut off", self._path)
            self._file.truncate(whole)
            self._size = whole


def _end_of_last_line(file: BinaryIO, size: int) -> int:
    """How many bytes lie before the end of the last whole line."""
    end = size
    while end:
        begin = max(0, end - BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
