"""Errors a user can mend: one line, a documented exit code, never a traceback."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

USAGE = 2
MISSING = 3
CHECK_FAILED = 4
INTERRUPTED = 130


# What a machine may refuse, whatever the program does, and what helps.
_REFUSALS = {
    errno.ENOSPC: "make room and run the same command again",
    errno.EDQUOT: "make room and run the same command again",
    errno.EROFS: "name a place that can be written to",
    errno.EACCES: "mend the permissions, or name another place",
    errno.EPERM: "mend the permissions, or name another place",
    errno.EIO: "look at the disk",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENAMETOOLONG: "name a shorter path",
}
_LACKING = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE)  # whatever place is named


class UserError(Exception):
    """A mistake or a lack outside this program.

    Args:
        message: One line that says what was expected, what was received and the remedy.
        exit_code: 2 bad usage or input, 3 something needed is missing, 4 a check failed.
    """

    def __init__(self, message: str, exit_code: int = USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


_called_as: list[str] = []


def call_as(name: str) -> None:
    """Let the next `Parser` say that it was called by this name, whatever its own."""
    _called_as[:] = [name]


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line, as those of every other check.

    It completes words for a shell that asks, where argcomplete is installed.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        if _called_as:
            options["prog"] = _called_as.pop()
        super().__init__(*args, **options)

    def parse_args(self, *args: Any, **options: Any) -> Any:
        """As its parent's; ends the process where a shell has asked for words."""
        if "_ARGCOMPLETE" in os.environ:
            import argcomplete

            argcomplete.autocomplete(self)
        return super().parse_args(*args, **options)

    def error(self, message: str) -> NoReturn:
        """Print the line and leave with exit code 2."""
        self.exit(USAGE, f"error: {message}; see {self.prog} --help\n")


def run_cli(body: Callable[[], int]) -> int:
    """Run the body of a command; turn what a user can mend into a line and a code.

    That is a `UserError`, Ctrl-C or SIGTERM, and what the machine refuses: a full or read-only
    disk, a file that may not be read.
    """
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that are no UTF-8, as on stderr
    try:
        with _sigterm_interrupts():
            code = body()
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        return 0
    except UserError as error:
        line = str(error).replace("\n", "\\n")  # a file's name may hold one
        print(f"error: {line}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        print(f"error: {refusal(error)}", file=sys.stderr)
        return output_code(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def is_refusal(error: BaseException | None) -> bool:
    """Whether it is, or was raised from, something that the machine refuses to all alike."""
    while error is not None:
        if getattr(error, "errno", None) in _REFUSALS:
            return True
        error = error.__cause__
    return False


def output_code(error: OSError) -> int:
    """Exit code of what cannot be written or read: 3 for what the machine lacks, else 2."""
    return MISSING if error.errno in _LACKING else USAGE


def refusal(error: OSError) -> str:
    """What the machine refused, and what helps, in one line."""
    files = [os.fsdecode(name) for name in (error.filename, error.filename2) if name is not None]
    place = f"{' → '.join(repr(name) for name in files)}: " if files else ""
    helps = _REFUSALS.get(error.errno or 0, "")
    return f"{place}{error.strerror or error}" + (f"; {helps}" if helps else "")


def _reader_is_gone() -> bool:
    """Whether nobody reads stdout any more (`… | head`); what is left then goes nowhere."""
    try:
        output = sys.stdout.fileno()
    except OSError:  # not a file
        return False
    poll = select.poll()
    poll.register(output, select.POLLOUT)
    gone = any(event & select.POLLERR for _, event in poll.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return gone


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM end this block as Ctrl-C does, so that what it opened is closed."""
    if threading.current_thread() is not threading.main_thread():  # only that one may ask for it
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
