"""Worker of a Ray pool: an actor that does one job at a time."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Any

from keras_ddl import __version__
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.workers.pool import tell_through
from keras_ddl.edge.workers.tasks import DONE, FAILED, outcome

VERSIONS = (__version__, ".".join(map(str, sys.version_info[:2])))
"""Of this package and of Python: what one process pickles, the other must be able to read."""


class RayWorker:
    """Actor that does one job at a time; asked for its share in a thread of its own."""

    def __init__(self) -> None:
        self._share: tuple[int, float] = (-1, 0.0)
        self._number = -1

    def open(
        self, versions: tuple[str, str], folder: str, start: Any, work: Any
    ) -> tuple[str, Any]:
        """Open what every job needs.

        Args:
            versions: `VERSIONS` of the command.
            folder: The folder in which the command runs, where relative paths start.
            start, work: As in `RayPool`.

        Returns:
            `DONE`, or `FAILED` with an error and its trace.
        """
        if versions != VERSIONS:
            ours, theirs = (f"keras-ddl {v} on Python {p}" for v, p in (VERSIONS, versions))
            message = f"expected {theirs}, as the command has, received {ours}; install the same"
            return FAILED, (UserError(message, CHECK_FAILED), "")
        tell_through(self._tell)
        try:
            os.chdir(folder)
        except OSError as error:
            message = f"expected the command's folder {folder}, received: {error.strerror}"
            remedy = "share it with the nodes, under the same path"
            return FAILED, (UserError(f"{message}; {remedy}"), "")
        try:
            self._opened, self._work = start(), work
        except Exception as error:
            return FAILED, (error, traceback.format_exc())
        return DONE, None

    def do(self, number: int, job: Any) -> tuple[str, Any]:
        """Do a job; return what `outcome` does."""
        self._number = number
        return outcome(self._work, self._opened, job)

    def share(self) -> tuple[int, float]:
        """Return the number of the job at hand and what share of it is done, in [0, 1]."""
        return self._share

    def _tell(self, share: float) -> None:
        self._share = (self._number, share)
