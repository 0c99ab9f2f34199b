"""`run_command`: one of the project's commands in a process of its own, watched and recorded."""

from __future__ import annotations

import codecs
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from keras_ddl.edge.errors import CHECK_FAILED, INTERRUPTED

PATIENCE = 60.0  # seconds that an interrupted command has to close what it writes
ERROR = "error: "
WORST = (0, 2, 3, CHECK_FAILED)  # exit codes of commands that knew what was wrong


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        code: 0, or an exit code of docs/exit-codes.md; 4 for an end that none of these explains.
        reason: Why, in one line; empty for 0.
    """

    code: int
    reason: str = ""


def run_command(
    module: str, arguments: Sequence[str], log: Path, hold: Sequence[int] = ()
) -> Ended:
    """Run `python -m module …` to its end.

    What it writes to stderr, its progress bar among it, is shown as it comes and goes into the log
    with what it writes to stdout; the line of an error is returned instead. Ctrl-C reaches it
    through this process alone, which waits for it.

    Args:
        module: One of this project's.
        arguments: Of the command.
        log: A text file to add to.
        hold: File descriptors that stay open in the command: a lock then outlives this process
            if it is killed, until the command has noticed and ended too.

    Raises:
        KeyboardInterrupt: This process was interrupted, or the command was.
    """
    command = [sys.executable, "-m", module, *arguments]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as record:
        print(f"\n$ {shlex.join(['python', *command[1:]])}", file=record, flush=True)
        try:
            with _undisturbed():  # or a process could be left that nobody knows of
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=record,
                    stderr=subprocess.PIPE,
                    env={**os.environ, **_terminal()},
                    pass_fds=hold,
                    start_new_session=True,
                )
                shown = _Shown(process.stderr, record)
            code = process.wait()
        except KeyboardInterrupt:
            shown.silent = True
            print(file=sys.stderr, flush=True)  # the bar's line is left as it is
            _stop(process)
            shown.join(PATIENCE)
            raise
        shown.join(PATIENCE)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return _ended(code, shown.lines, log)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let an interruption wait until the end of this block."""
    came: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):  # neither ignored nor deadly
                before[number] = signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        raise KeyboardInterrupt


class _Shown(threading.Thread):
    """Passes on what a command writes to stderr, and keeps its lines as a terminal would.

    Args:
        source: The pipe.
        record: Gets the lines.
    """

    def __init__(self, source: IO[bytes] | None, record: IO[str]) -> None:
        super().__init__(daemon=True)
        self._source, self._record = source, record
        self.lines: list[str] = []
        self.silent = False
        self.start()

    def run(self) -> None:
        """Read to the end."""
        if self._source is None:
            return
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rest = ""
        with self._source as source:
            while piece := os.read(source.fileno(), 1 << 16):
                text = decoder.decode(piece)
                self._show(text, whole_line=not rest)
                *whole, rest = (rest + text).split("\n")
                for line in whole:
                    self._keep(line)
        self._keep(rest)

    def _show(self, text: str, whole_line: bool) -> None:
        """Pass on all but lines that tell an error; those are for the caller to tell."""
        parts = text.splitlines(keepends=True)
        begins = [whole_line, *(part.endswith("\n") for part in parts[:-1])]
        for part, first in zip(parts, begins, strict=True):
            if not self.silent and not (first and part.startswith(ERROR)):
                sys.stderr.write(part)
        sys.stderr.flush()

    def _keep(self, line: str) -> None:
        final = line.rstrip().rpartition("\r")[2].rstrip()  # what a progress bar left standing
        if final:
            self.lines.append(final)
            print(final, file=self._record, flush=True)


def _terminal() -> dict[str, str]:
    """The width of the terminal, which a bar behind a pipe cannot ask for."""
    if not sys.stderr.isatty():
        return {}
    size = shutil.get_terminal_size()
    return {"COLUMNS": str(size.columns), "LINES": str(size.lines)}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Let a command close what it writes; end it where that takes too long, or on a second word."""
    process.terminate()  # SIGINT may be ignored, as in a shell's background
    try:
        process.wait(PATIENCE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()
        process.wait()


def _ended(code: int, lines: Sequence[str], log: Path) -> Ended:
    if code == 0:
        return Ended(0)
    told = [line.removeprefix(ERROR) for line in lines if line.startswith(ERROR)]
    if told and code in WORST:
        return Ended(code, told[-1])
    if code < 0:
        name = signal.Signals(-code).name
        memory = ", perhaps for lack of memory" if name == "SIGKILL" else ""
        return Ended(CHECK_FAILED, f"ended by {name}{memory}; see {log}")
    last = lines[-1] if lines else f"exit code {code}"
    return Ended(code if code in WORST else CHECK_FAILED, f"{last}; see {log}")
