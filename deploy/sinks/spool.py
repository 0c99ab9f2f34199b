"""Events that wait on disk, in order, until somebody has taken them."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.files import PART, write_durably

log = logging.getLogger(__name__)

MAX_EVENTS = 10_000
MAX_BYTES = 64 << 20
MAX_IN_MEMORY = 1000  # events, while the disk takes none
MAX_ASIDE = 1000  # files kept in each of damaged/ and refused/
NAME = re.compile(r"(\d{16})-([0-9a-f]{8})\.json")  # number, CRC-32 of the content


@dataclass(frozen=True)
class Waiting:
    """An event that waits: its running number and its content."""

    number: int
    content: bytes


@dataclass
class _Entry:
    name: str
    size: int
    content: bytes | None = None  # None: it is on disk


class Spool:
    """A folder with one file per event; safe against kill -9 and power cuts.

    The name of a file sorts by order and holds a checksum of its content. When there are too
    many, the oldest are dropped (the drop policy), counted in `lost`, and said in one line. While
    the disk takes nothing, events are kept in memory, fewer of them, and written once it does.

    All methods may be called from any thread.

    Args:
        folder: Made if need be; belongs to one process at a time.
        max_events: Most events that may wait.
        max_bytes: Most bytes that may wait; the newest event may always.
        on_drop: Told how many events were dropped.
    """

    def __init__(
        self,
        folder: Path,
        max_events: int = MAX_EVENTS,
        max_bytes: int = MAX_BYTES,
        on_drop: Callable[[int], None] = lambda count: None,
    ) -> None:
        if max_events < 1 or max_bytes < 1:
            raise ValueError(f"expected limits of 1 or more, received {max_events}, {max_bytes}")
        self.folder = folder
        self.lost = 0
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._on_drop = on_drop
        self._lock = threading.RLock()
        self._entries: dict[int, _Entry] = {}  # in order
        self._bytes = 0
        self._next = 1
        self._owner: int | None = None  # file descriptor that holds the folder's lock
        self._overflowing = False
        self._disk_fails = False

    def open(self) -> None:
        """Take possession of the folder and of what waits in it.

        Raises:
            UserError: the folder cannot be written, or another process uses it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own()
            names = sorted(os.listdir(self.folder))
        except OSError as error:
            raise UserError(
                f"expected a folder for waiting events, received '{self.folder}': "
                f"{error.strerror}; name another with --spool",
                USAGE,
            ) from error
        with self._lock:
            for name in names:
                self._adopt(name)
            highest = [*self._entries, *(_number(name) for name in self._aside())]
            self._next = max(highest, default=0) + 1
            self._make_room()

    def put(self, content: bytes) -> None:
        """Add an event; on return it is on disk, or in memory where the disk has no room."""
        with self._lock:
            name = f"{self._next:016d}-{zlib.crc32(content):08x}.json"
            self._entries[self._next] = _Entry(name, len(content), content)
            self._bytes += len(content)
            self._next += 1
            self._make_room()
            self._save()

    def peek(self, count: int = 1) -> list[Waiting]:
        """The oldest events, `count` at most; they stay until `done` or `refuse`."""
        found: list[Waiting] = []
        with self._lock:
            for number in list(self._entries):
                if len(found) == count:
                    break
                if (content := self._read(number)) is not None:
                    found.append(Waiting(number, content))
        return found

    def done(self, number: int) -> None:
        """The event was taken: forget it."""
        with self._lock:
            entry = self._forget(number)
            if entry is None or entry.content is not None:
                return
            try:
                (self.folder / entry.name).unlink(missing_ok=True)
            except OSError as error:  # it will come again at the next start: at least once
                log.warning("%s: cannot remove %s: %s", self.folder, entry.name, error.strerror)

    def refuse(self, number: int) -> None:
        """The receiver will never take this event: move it to refused/, out of the way."""
        with self._lock:
            entry = self._forget(number)
            if entry is not None and entry.content is None:
                self._set_aside(entry.name, "refused")

    def __len__(self) -> int:
        return len(self._entries)

    def close(self) -> None:
        """Write what is still in memory and give the folder back."""
        with self._lock:
            self._save()
            unsaved = sum(entry.content is not None for entry in self._entries.values())
            if unsaved:
                log.warning("%s: no room for %d events, they are lost", self.folder, unsaved)
                self.lost += unsaved
                self._on_drop(unsaved)
            self._entries.clear()
            self._bytes = 0
            if self._owner is not None:
                os.close(self._owner)
                self._owner = None

    def _own(self) -> None:
        """Lock the folder; the system lets go of it however this process ends."""
        if sys.platform == "win32" or self._owner is not None:
            return
        import fcntl

        owner = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(owner)
            raise UserError(
                f"the waiting events in '{self.folder}' belong to another running process; "
                "stop it, or name another folder with --spool",
                USAGE,
            ) from error
        self._owner = owner

    def _adopt(self, name: str) -> None:
        path = self.folder / name
        if name.endswith(PART):  # never became an event: its writer was killed
            path.unlink(missing_ok=True)
        elif NAME.fullmatch(name):
            self._entries[_number(name)] = _Entry(name, path.stat().st_size)
            self._bytes += path.stat().st_size

    def _aside(self) -> list[str]:
        folders = (self.folder / "damaged", self.folder / "refused")
        names = [name for folder in folders if folder.is_dir() for name in os.listdir(folder)]
        return [name for name in names if NAME.fullmatch(name)]

    def _save(self) -> None:
        """Write what is only in memory, oldest first; stops at the first that does not fit."""
        for number, entry in list(self._entries.items()):
            if entry.content is None:
                continue
            try:
                write_durably(self.folder / entry.name, entry.content)
            except OSError as error:
                if not self._disk_fails:
                    text = "%s: %s; events wait in memory and would not survive a crash"
                    log.warning(text, self.folder, error.strerror)
                self._disk_fails = True
                self._limit_memory()
                return
            self._entries[number] = _Entry(entry.name, entry.size)
        if self._disk_fails:
            log.warning("%s: there is room again, events wait on disk", self.folder)
        self._disk_fails = False

    def _limit_memory(self) -> None:
        held = [number for number, entry in self._entries.items() if entry.content is not None]
        for number in held[: max(0, len(held) - MAX_IN_MEMORY)]:
            self._drop(number)

    def _make_room(self) -> None:
        """Drop the oldest events beyond the limits."""
        while len(self._entries) > 1 and (
            len(self._entries) > self._max_events or self._bytes > self._max_bytes
        ):
            self._drop(next(iter(self._entries)))

    def _drop(self, number: int) -> None:
        if not self._overflowing:
            log.warning("%s: too many events wait, the oldest are dropped", self.folder)
        self._overflowing = True
        self.done(number)
        self.lost += 1
        self._on_drop(1)

    def _read(self, number: int) -> bytes | None:
        """The content of an event; None, and it is set aside, where the file is damaged."""
        entry = self._entries[number]
        if entry.content is not None:
            return entry.content
        try:
            content = (self.folder / entry.name).read_bytes()
            if f"{zlib.crc32(content):08x}" == entry.name[17:25]:
                return content
            reason = "its content is not what was written"
        except OSError as error:
            reason = str(error.strerror)
        log.warning("%s: %s is damaged, set aside: %s", self.folder, entry.name, reason)
        self._forget(number)
        self.lost += 1
        self._on_drop(1)
        self._set_aside(entry.name, "damaged")
        return None

    def _forget(self, number: int) -> _Entry | None:
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._bytes -= entry.size
        if not self._entries and self._overflowing:
            log.warning("%s: no event waits any more; dropped so far: %d", self.folder, self.lost)
            self._overflowing = False
        return entry

    def _set_aside(self, name: str, where: str) -> None:
        folder = self.folder / where
        try:
            if not (self.folder / name).exists():  # somebody removed it
                return
            folder.mkdir(exist_ok=True)
            (self.folder / name).replace(folder / name)
            for old in sorted(os.listdir(folder))[:-MAX_ASIDE]:
                (folder / old).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: cannot move %s: %s", folder, name, error.strerror)


def _number(name: str) -> int:
    return int(name[:16])
