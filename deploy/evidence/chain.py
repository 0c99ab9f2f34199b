"""Hash chain of an evidence folder: its events in order, those it let go, and its time stamps.

`chain.jsonl` is only ever appended to. A line is `opened` (who writes, under which limits), `event`
(a folder was finished), `dropped` (the oldest folder made room) or `stamped` (a time stamp of a
head was received), and carries the SHA-256 of the line before it; the SHA-256 of the last line, the
head, therefore stands for everything above it. With a key every line is signed.
"""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from deploy.evidence.audit import Audit
from deploy.evidence.line import CHAIN, DROPPED, EVENT, OPENED, STAMPED, Line, line_bytes
from deploy.evidence.noted_heads import HEADS, NotedHeads
from deploy.evidence.signing import SigningKey
from keras_ddl import __version__
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, USAGE, UserError

LOCK = ".lock"

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

    Args:
        root: The folder.
        limits: `max_bytes` and `keep_days`, which the chain names before it lets anything go.
        key: What signs every line; None = nothing is signed.

    Attributes:
        name: Id of the chain, "" before its first line.
        head: SHA-256 of the last line, "" before the first.
        unstamped: The newest line that a time stamp would be news of, None where there is none.
        sequence: Number of the newest event, 0 before the first.
        newest: SHA-256 of its manifest.
        standing: Folders that are to be there, oldest first.
        dropped: Folders that are not.
    """

    def __init__(self, root: Path, limits: Mapping[str, Any], key: SigningKey | None) -> None:
        self._root = root
        self._path = root / CHAIN
        self._limits = dict(limits)
        self._key = key
        self._noted = NotedHeads(key.path.with_name(key.path.name + HEADS)) if key else None
        self._offset = 0
        self._lines = 0
        self._declared = False
        self._signed_by = ""
        self.name = ""
        self.head = ""
        self.unstamped: Line | None = None
        self.sequence = 0
        self.newest = ""
        self.standing: dict[str, Entry] = {}
        self.dropped: set[str] = set()

    @property
    def key(self) -> str:
        """Public key of what signs, 64 hex digits; "" where nothing is signed."""
        return self._key.public if self._key else ""

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

    def check_signatures(self) -> None:
        """Refuse to continue a signed chain that is not as its key left it, or without that key.

        Raises:
            UserError: it was signed with another key or with none (2), or somebody else changed
                it (4).
        """
        another = f"keep '{self._root}' as it is and name another folder"
        if self._signed_by and self._signed_by != self.key:
            received = f"the key {self.key[:12]}…" if self.key else "none"
            message = f"expected the key {self._signed_by[:12]}… that signs '{self._path}'"
            raise UserError(f"{message}, received {received}; {another}", USAGE)
        if self._key is None or self._noted is None or not self.head:
            return
        if not self._signed_by:  # whoever wrote it, our key must not vouch for it from now on
            message = f"expected an empty folder, or one that the key {self.key[:12]}… signs"
            raise UserError(f"{message}, received unsigned evidence; {another}", USAGE)
        audit = Audit(self._path.read_bytes(), self.key)
        noted = self._noted.head_of(audit.name)
        if noted and noted not in audit.heads:
            audit.problems.append(f"{CHAIN}: the line {noted[:12]}… is gone that was written last")
        if audit.problems:
            first = audit.problems[0]
            message = f"expected '{self._path}' as its key left it, received: {first}"
            raise UserError(f"{message}; {another}", CHECK_FAILED)

    def add(self, entry: Entry) -> None:
        """Append a finished event."""
        self.declare()
        self._append({"type": EVENT, **asdict(entry)})

    def drop(self, entry: Entry, reason: str) -> None:
        """Append that the oldest folder is let go; delete it only after this.

        Args:
            entry: The folder's.
            reason: Name of the limit that asks for it.
        """
        self.declare()
        which = {name: getattr(entry, name) for name in ("folder", "sequence", "manifest_sha256")}
        limit = {"reason": reason, "limit": self._limits[reason]}
        self._append({"type": DROPPED, **which, **limit, "written": utc()})

    def stamped(self, head: str, digest: str, at: str) -> None:
        """Append that a head has a time stamp.

        Args:
            head: The head.
            digest: SHA-256 of the stamp's file.
            at: The time that it names, ISO 8601.
        """
        self.declare()
        facts = {"head": head, "stamp_sha256": digest, "at": at}
        self._append({"type": STAMPED, **facts, "written": utc()})

    def declare(self) -> str:
        """Have the chain name its writer, its key and its limits, once; returns its id."""
        if not self._declared or self._signed_by != self.key:
            facts = {"chain": self.name or uuid.uuid4().hex, "root": self._root.resolve().name}
            rule = {"key": self.key, "limits": self._limits}
            program = {"program": f"keras-ddl {__version__}", "written": utc()}
            self._append({"type": OPENED, **facts, **rule, **program})
        return self.name

    def _append(self, record: Mapping[str, Any]) -> None:
        numbered = {**record, "line": self._lines + 1, "previous": self.head}
        line = line_bytes(numbered, self._key)
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
        self._offset = before + len(line)
        self._take(line[:-1])
        if self._noted is not None:
            try:
                self._noted.note(self.name, self.head)
            except (OSError, UserError) as error:  # the event is kept; the next line is noted again
                log.warning("the head of %s is not noted beside its key: %s", self._path, error)

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
        for raw in data[:whole].split(b"\n")[:-1]:
            self._take(raw)
        self._offset += whole

    def _take(self, raw: bytes) -> None:
        """Take in a line; one that is damaged, or unsigned where it should be, changes nothing."""
        line = Line.parse(raw)
        self.head = line.digest
        self._lines += 1
        trusted = not self._signed_by or not self._key or line.signed_by(self.key)
        if trusted and self._learn(line):
            self.unstamped = self.unstamped if line.kind == STAMPED else line
        else:
            log.warning("%s is damaged: %s verify says where", self._path, typed("evidence"))

    def _learn(self, line: Line) -> bool:
        if line.kind == OPENED:
            self.name = line.text("chain")
            self._signed_by = line.digest_of("key")
            same = line.record.get("limits") == self._limits and self._signed_by == self.key
            self._declared = self._declared or same
            return bool(self.name)
        if line.kind == STAMPED:
            # One that came while its stamp was asked for has lines between, which have none.
            if self.unstamped is not None and line.text("head") == self.unstamped.digest:
                self.unstamped = None
            return True
        folder = line.folder  # "" for a name that would have something else deleted
        if line.kind == DROPPED and folder in self.standing:
            self.standing.pop(folder, None)
            self.dropped.add(folder)
            return True
        entry = _entry(line)
        if line.kind != EVENT or entry is None:
            return False
        self.standing[folder] = entry
        self.sequence, self.newest = entry.sequence, entry.manifest_sha256
        return True


def utc() -> str:
    """The time, UTC, ISO 8601, in milliseconds."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def _entry(line: Line) -> Entry | None:
    """The event of a line, None where one of its values is of another kind."""
    try:
        size, sequence = int(line.number("bytes")), int(line.number("sequence"))
        aware = datetime.fromisoformat(line.text("written")).tzinfo is not None
    except (ValueError, OverflowError):
        return None
    digest = line.digest_of("manifest_sha256")
    if not (line.folder and digest and aware and size >= 0):
        return None
    return Entry(line.folder, line.text("event"), sequence, digest, size, line.text("written"))
