"""Hash chain of an evidence folder: its events in order, and those it let go.

`chain.jsonl` is only ever appended to. A line is `event` (a folder was finished) or `dropped` (the
oldest folder made room), and carries the SHA-256 of the line before it; the SHA-256 of the last
line, the head, therefore stands for everything above it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CHAIN = "chain.jsonl"
LOCK = ".lock"
EVENT, DROPPED = "event", "dropped"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entry:
    """A finished event.

    Attributes:
        folder: Name of its folder.
        event: Its id.
        sequence: Its number in this chain, from 1.
        manifest_sha256: Of its `manifest.json`.
        bytes: What its files take.
        written: When it was finished, UTC, ISO 8601.
    """

    folder: str
    event: str
    sequence: int
    manifest_sha256: str
    bytes: int
    written: str


class Chain:
    """The chain of one root, shared by every process that writes there.

    Attributes:
        head: SHA-256 of the last line, "" before the first.
        sequence: Number of the newest event, 0 before the first.
        newest: SHA-256 of its manifest.
        standing: Folders that are to be there, oldest first.
        dropped: Folders that are not.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / CHAIN
        self._offset = 0
        self.head = ""
        self.sequence = 0
        self.newest = ""
        self.standing: dict[str, Entry] = {}
        self.dropped: set[str] = set()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others out and learn what they wrote; everything below needs this.

        Raises:
            OSError: the folder cannot be written to.
        """
        import fcntl

        with (self._root / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when a process is killed
            self._catch_up()
            yield

    def add(self, entry: Entry) -> None:
        """Append a finished event."""
        self._append({"type": EVENT, **asdict(entry)})

    def drop(self, entry: Entry, reason: str, at: str) -> None:
        """Append that the oldest folder is let go; delete it only after this."""
        which = {name: getattr(entry, name) for name in ("folder", "sequence", "manifest_sha256")}
        self._append({"type": DROPPED, **which, "reason": reason, "written": at})

    def _append(self, record: dict[str, Any]) -> None:
        text = json.dumps({**record, "previous": self.head}, ensure_ascii=False, allow_nan=False)
        line = text.encode() + b"\n"
        handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            before = os.fstat(handle).st_size
            try:
                if os.write(handle, line) < len(line):
                    raise OSError(28, "No space left on device")
                os.fsync(handle)
            except OSError:
                os.ftruncate(handle, before)
                raise
        finally:
            os.close(handle)
        self._catch_up()

    def _catch_up(self) -> None:
        """Read the lines that were added since; a last line that a crash cut short goes."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except FileNotFoundError:
            return
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            log.warning("%s: its last line was cut short and is taken away", self._path)
            os.truncate(self._path, self._offset + whole)
        for line in data[:whole].splitlines():
            self.head = hashlib.sha256(line).hexdigest()
            self._learn(line)
        self._offset += whole

    def _learn(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            kind, folder = record.pop("type"), str(record["folder"])
            record.pop("previous")
            entry = Entry(**record) if kind == EVENT else None
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("%s is damaged: python -m deploy.evidence verify says where", self._path)
            return
        if entry is None:
            self.standing.pop(folder, None)
            self.dropped.add(folder)
        else:
            self.standing[folder] = entry
            self.sequence, self.newest = entry.sequence, entry.manifest_sha256
