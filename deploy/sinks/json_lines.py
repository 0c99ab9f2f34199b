"""Records as JSON Lines."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from deploy.judging.records import Record, to_line
from deploy.sinks.base import Output, Sink
from deploy.sinks.rotating_file import RotatingFile
from keras_ddl.edge.errors import UserError, output_code

log = logging.getLogger(__name__)

STDOUT = "-"
KEEP = 5
SHARED = ("time_ms", "source", "model_id", "domain")  # what every record has


class JsonLines(Sink):
    """One JSON object per line, flushed at once; to a file, or to stdout for "-".

    Without `max_bytes` a run writes one file and replaces the one before. With it the file is
    continued and rotated: `verdicts.jsonl` becomes `verdicts.jsonl.1`, that `.2`, and so on. Each
    new file begins with the `start` records of the sources still running, with `continued` true,
    so that it can be read alone.

    While a disk is full, records are lost and counted; once there is room, a record of type `gap`
    says so for every source, before the next line.

    Args:
        target: File, or "-".
        max_bytes: Size from which a file is rotated; None = never.
        keep: How many rotated files are kept.

    Raises:
        ValueError: `max_bytes` or `keep` below 1.
    """

    name = "jsonl"

    def __init__(self, target: str | Path, max_bytes: int | None = None, keep: int = KEEP) -> None:
        if (max_bytes is not None and max_bytes < 1) or keep < 1:
            raise ValueError(f"expected limits of 1 or more, received {max_bytes!r}, {keep!r}")
        self._target = str(target)
        self._max_bytes = max_bytes
        self._keep = keep
        self._file: RotatingFile | None = None
        self._closed = False
        self._starts: dict[str, Record] = {}  # by source, of those still running
        self._gaps: dict[str, Record] = {}  # by source, what was lost since the disk was full
        self._lost, self._reason = 0, ""

    @property
    def missing(self) -> str:
        return f"{self._lost} lines are lost ({self._reason})" if self._lost else ""

    def open(self) -> None:
        """Open the file.

        Raises:
            UserError: it cannot be written.
        """
        if self._target == STDOUT or self._file is not None:
            return
        try:
            self._file = RotatingFile(Path(self._target), self._max_bytes, self._keep)
        except OSError as error:
            message = f"expected a file to write JSON Lines to, received '{self._target}'"
            raise UserError(f"{message}: {error.strerror}", output_code(error)) from error

    def write(self, output: Output) -> None:
        """Write the records; a reader of stdout that went away is a BrokenPipeError."""
        for record in output.records:
            if self._target == STDOUT:
                sys.stdout.write(to_line(record) + "\n")
                sys.stdout.flush()
            else:
                self._append(record)

    def _append(self, record: Record) -> None:
        if self._closed:
            raise ValueError(f"{self._target}: this sink is closed")
        self.open()
        if self._file is None:
            raise ValueError(f"{self._target}: not open")
        source, kind = str(record.get("source", "")), record["type"]
        line = _encoded(*self._gaps.values(), record)
        try:
            if self._file.is_full_with(line):
                running = ({**start, "continued": True} for start in self._starts.values())
                self._file.rotate(_encoded(*running))
            self._file.append(line)
        except OSError as error:
            self._lose(record, source, str(error.strerror or error))
        else:
            if self._gaps:
                lost = sum(gap["lost"] for gap in self._gaps.values())
                log.warning("%s: there is room again; %d lines are lost", self._target, lost)
            self._gaps.clear()
        if kind == "start":
            self._starts[source] = record
        elif kind == "end":
            self._starts.pop(source, None)

    def _lose(self, record: Record, source: str, reason: str) -> None:
        if not self._gaps:
            log.warning("%s: %s; lines are lost until there is room", self._target, reason)
        if source not in self._gaps:
            shared = {name: record[name] for name in SHARED if name in record}
            self._gaps[source] = {"type": "gap", **shared, "lost": 0, "reason": reason}
        self._gaps[source]["lost"] += 1
        self._lost, self._reason = self._lost + 1, reason

    def close(self) -> None:
        """Say what is missing, if there is room by now, and close the file; stdout stays open."""
        self._closed = True
        if self._file is None:
            return
        try:
            if self._gaps:
                self._file.append(_encoded(*self._gaps.values()))
        except OSError as error:
            log.warning("%s: closed without its last lines: %s", self._target, error.strerror)
        finally:
            self._gaps.clear()
            self._file.close()
            self._file = None


def _encoded(*records: Record) -> bytes:
    return "".join(to_line(record) + "\n" for record in records).encode()
