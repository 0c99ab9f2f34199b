"""`scan.jsonl`: a record per file as it is judged, and what an earlier call has judged already."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from pathlib import Path
from typing import IO, Any

from deploy.judging.records import Record
from deploy.scanning.file_record import UNREADABLE
from deploy.scanning.files import Candidate, sha256_of
from keras_ddl.edge.errors import USAGE, UserError, output_code
from keras_ddl.edge.workers.pool import CRASHED, JOB_S

LEDGER = "scan.jsonl"
LOCK = ".lock"


class Ledger:
    """A context manager around the file; one call at a time may hold it.

    Of what it holds only the places of the records are known, in a temporary database.

    Args:
        folder: Where results go.
        key: Digest of model, program and options: other records do not count.
        timeout_s: Files that were given up sooner are tried again.
    """

    def __init__(self, folder: Path, key: str, timeout_s: float = JOB_S) -> None:
        self._path = folder / LEDGER
        self._key = key
        self._timeout_s = timeout_s
        self._known: sqlite3.Connection | None = None
        self._lock: IO[str] | None = None
        self._file: IO[bytes] | None = None
        self._end = 0

    def __enter__(self) -> Ledger:
        """Read what is there.

        Raises:
            UserError: another scan writes here, or nobody can.
        """
        import fcntl

        self._known = sqlite3.connect("", isolation_level=None)  # a file of its own, if it grows
        self._known.execute("pragma journal_mode = off")
        self._known.execute("create table known (path blob primary key, at integer)")
        try:
            self._lock = (self._path.parent / LOCK).open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = self._path.open("a+b")
            self._read()
        except BlockingIOError as error:
            self.__exit__()
            message = f"expected a folder of one scan, another one writes to '{self._path.parent}'"
            raise UserError(f"{message}; wait for it, or name another --out", USAGE) from error
        except OSError as error:
            self.__exit__()
            message = f"expected to write '{self._path}', received {error.strerror or error}"
            raise UserError(message, output_code(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self._file, self._lock, self._known):
            if opened is not None:
                opened.close()

    def _read(self) -> None:
        """Note where each path's newest record is; cut off a killed call's last line."""
        file = self._opened()
        file.seek(0)
        for line in file:
            if not line.endswith(b"\n"):
                file.truncate(self._end)
                break
            at, self._end = self._end, self._end + len(line)
            try:
                record = json.loads(line)
                if record["key"] == self._key:
                    self._note(record["path"], at)
            except (ValueError, KeyError, TypeError):  # not ours; it counts for nothing
                continue

    def find(self, candidate: Candidate) -> tuple[Record, int] | None:
        """The record of a file that has not changed since, and where it is.

        Changed is what differs by size, by the tag of its store or by its time; where the time
        alone differs, or its store has neither, the content decides.
        """
        question = "select at from known where path = ?"
        found = self._places().execute(question, (_digest(candidate.path),)).fetchone()
        if found is None:
            return None
        record = self.read(found[0])
        if record["status"] == CRASHED or record["size"] != candidate.size:
            return None
        if record["status"] == UNREADABLE and not record["sha256"]:  # it was not to be read at all
            return None
        if record.get("timeout_s", self._timeout_s) < self._timeout_s:
            return None
        return (record, found[0]) if self._is_same(candidate, record) else None

    def _is_same(self, candidate: Candidate, record: Record) -> bool:
        if candidate.tag:
            known: str = record.get("tag", "")
            return candidate.tag == known
        if candidate.mtime_ns and record["mtime_ns"] == candidate.mtime_ns:
            return True
        try:
            return bool(sha256_of(candidate) == record["sha256"])
        except (OSError, UserError):  # then judging it says why
            return False

    def read(self, at: int) -> Record:
        """Return the record at a place."""
        file = self._opened()
        file.seek(at)
        record: Record = json.loads(file.readline())
        return record

    def add(self, record: Record) -> tuple[Record, int]:
        """Append a record; return it as it stands there, and where."""
        file = self._opened()
        record = {"type": "file", **record, "key": self._key}
        line = json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
        at, self._end = self._end, self._end + len(line)
        file.write(line)
        file.flush()
        self._note(record["path"], at)
        return record, at

    def _note(self, path: str, at: int) -> None:
        row = (_digest(path), at)
        self._places().execute("insert or replace into known values (?, ?)", row)

    def _places(self) -> sqlite3.Connection:
        if self._known is None:
            raise ValueError("expected an open ledger")
        return self._known

    def _opened(self) -> IO[Any]:
        if self._file is None:
            raise ValueError("expected an open ledger")
        return self._file


def _digest(path: str) -> bytes:
    return hashlib.sha256(os.fsencode(path)).digest()[:16]
