"""Errors a user can mend: one line, a documented exit code, never a traceback."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable

USAGE = 2
MISSING = 3
CHECK_FAILED = 4
INTERRUPTED = 130


class UserError(Exception):
    """A mistake or a lack outside this program.

    Args:
        message: One line that says what was expected, what was received and the remedy.
        exit_code: 2 bad usage or input, 3 something needed is missing, 4 a check failed.
    """

    def __init__(self, message: str, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def run_cli(body: Callable[[], int]) -> int:
    """Run the body of a command; turn a `UserError` or Ctrl-C into one line and an exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        return body()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
