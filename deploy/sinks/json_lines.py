"""Records as JSON Lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from deploy.records import to_line
from deploy.sinks.base import Output, Sink
from keras_ddl.errors import USAGE, UserError

STDOUT = "-"


class JsonLines(Sink):
    """One JSON object per line, flushed at once; to a file, or to stdout for "-"."""

    name = "jsonl"

    def __init__(self, target: str | Path) -> None:
        self._target = str(target)
        self._file: TextIO | None = None

    def open(self) -> None:
        """Open the file, so that a path that cannot be ends the run before its first frame."""
        self._file = self._open()

    def write(self, output: Output) -> None:
        """Write the records; a reader that went away is a BrokenPipeError."""
        for record in output.records:
            if self._file is None:
                self._file = self._open()
            self._file.write(to_line(record) + "\n")
            self._file.flush()

    def _open(self) -> TextIO:
        if self._target == STDOUT:
            return sys.stdout
        try:
            return Path(self._target).open("w", encoding="utf-8")
        except OSError as error:
            message = f"expected a file to write JSON Lines to, received '{self._target}'"
            raise UserError(f"{message}: {error.strerror}", USAGE) from error

    def close(self) -> None:
        """Close the file; stdout is left open."""
        if self._file is not None and self._file is not sys.stdout:
            self._file.close()
        self._file = None
