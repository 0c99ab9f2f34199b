"""`scan.jsonl`: a record per file as it is judged, and what an earlier call has judged already."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import IO

from deploy.judging.records import Record
from deploy.scanning.files import Candidate
from keras_ddl.edge.errors import USAGE, UserError, output_code
from keras_ddl.edge.files import file_sha256
from keras_ddl.edge.workers.pool import CRASHED, JOB_S

LEDGER = "scan.jsonl"
LOCK = ".lock"


class Ledger:
    """A context manager around the file; one call at a time may hold it.

    Args:
        folder: Where results go.
        key: Digest of model, program and options: other records do not count.
        timeout_s: Files that were given up sooner are tried again.
    """

    def __init__(self, folder: Path, key: str, timeout_s: float = JOB_S) -> None:
        self._path = folder / LEDGER
        self._key = key
        self._timeout_s = timeout_s
        self._known: dict[str, Record] = {}
        self._lock: IO[str] | None = None
        self._file: IO[str] | None = None

    def __enter__(self) -> Ledger:
        """Read what is there.

        Raises:
            UserError: another scan writes here, or nobody can.
        """
        import fcntl

        try:
            self._lock = (self._path.parent / LOCK).open("a")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._read()
            self._file = self._path.open("a", encoding="ascii")
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
        for file in (self._file, self._lock):
            if file is not None:
                file.close()

    def _read(self) -> None:
        if not self._path.is_file():
            return
        data = self._path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):  # a killed call's last line
            os.truncate(self._path, whole)
        for line in data[:whole].splitlines():
            try:
                record = json.loads(line)
                if record["key"] == self._key:
                    self._known[record["path"]] = record
            except (ValueError, KeyError, TypeError):  # not ours; it counts for nothing
                continue

    def find(self, candidate: Candidate) -> Record | None:
        """The record of a file that has not changed since, by size and time or else by content."""
        record = self._known.get(candidate.path)
        if record is None or record["status"] == CRASHED or record["size"] != candidate.size:
            return None
        if record.get("timeout_s", self._timeout_s) < self._timeout_s:
            return None
        if record["mtime_ns"] != candidate.mtime_ns:
            try:
                same = file_sha256(Path(candidate.path)) == record["sha256"]
            except OSError:  # then judging it says why
                return None
            return {**record, "mtime_ns": candidate.mtime_ns} if same else None
        return record

    def add(self, record: Record) -> Record:
        """Append a record and return it as it stands there."""
        if self._file is None:
            raise ValueError("expected an open ledger")
        record = {"type": "file", **record, "key": self._key}
        self._file.write(json.dumps(record, allow_nan=False, separators=(",", ":")) + "\n")
        self._file.flush()
        return record
