"""`run_tasks`: the project's commands in processes of their own, several at a time, with logs."""

from __future__ import annotations

import codecs
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from keras_ddl.edge.errors import CHECK_FAILED, INTERRUPTED

SPAWNED = {
    "costs": "keras_ddl.comparison.costs",
    "train": "keras_ddl.train",
    "evaluate": "keras_ddl.evaluate",
    "export": "export.to_onnx",
    "speed": "export.clips_per_second",
}
"""Name of a step → the module that is started for it; nothing here imports those of `export`."""
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
PATIENCE = 60.0  # seconds that an interrupted command has to close what it writes
POLL = 0.05  # seconds between two looks at who has ended
ERROR = "error: "
WORST = (0, 2, 3, CHECK_FAILED)  # exit codes of commands that knew what was wrong


@dataclass(frozen=True)
class Command:
    """One of the project's commands.

    Args:
        step: A name in `SPAWNED`.
        arguments: Of the command.
        log: Text file that what it writes is added to.
    """

    step: str
    arguments: tuple[str, ...]
    log: Path


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Args:
        code: 0, or an exit code of docs/exit-codes.md; 4 for an end that none of these explains.
        reason: Why, in one line; empty for 0.
    """

    code: int
    reason: str = ""


Task = Generator[Command, Ended, None]
"""Yields a command, is sent how that ended, and yields the next."""


def run_tasks(tasks: Iterable[Task], jobs: int, hold: Sequence[int]) -> None:
    """Run tasks to their ends, each command as `python -m module …`.

    What a command writes goes into its log. Of a lone one, what it writes to stderr, its progress
    bar among it, is shown too; of several at a time it is not, and each has one compute thread. The
    line of an error is left to the task to tell. Ctrl-C reaches the commands through this process
    alone, which waits for them.

    Args:
        tasks: Begun in this order; their own code runs in this thread.
        jobs: Tasks at a time.
        hold: File descriptors that stay open in the commands: a lock then outlives this process
            if it is killed, until the commands have noticed and ended too.

    Raises:
        KeyboardInterrupt: This process was interrupted, or a command was; all have ended.
    """
    running: dict[Task, _Process] = {}

    def go_on(task: Task, ended: Ended | None) -> None:
        try:
            command = next(task) if ended is None else task.send(ended)
        except StopIteration:
            return
        with _undisturbed():  # or a process could be left that nobody knows of
            running[task] = _Process(command, hold, alone=jobs == 1)

    def wait() -> None:
        """Let the first task whose command has ended go on."""
        while True:
            for task, process in running.items():
                if (ended := process.ended()) is not None:
                    del running[task]
                    return go_on(task, ended)
            time.sleep(POLL)

    try:
        for task in tasks:
            go_on(task, None)
            while len(running) >= jobs:
                wait()
        while running:
            wait()
    except BaseException:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.close()
        raise


class _Process:
    """A command that runs.

    Args:
        command: Which.
        hold: See `run_tasks`.
        alone: Whether it has the terminal and all cores.
    """

    def __init__(self, command: Command, hold: Sequence[int], alone: bool) -> None:
        line = [sys.executable, "-m", SPAWNED[command.step], *command.arguments]
        command.log.parent.mkdir(parents=True, exist_ok=True)
        self._log = command.log
        self._record = command.log.open("a", encoding="utf-8")
        print(f"\n$ {shlex.join(['python', *line[1:]])}", file=self._record, flush=True)
        self._process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=self._record,
            stderr=subprocess.PIPE,
            env={**os.environ, **(_terminal() if alone else ONE_THREAD)},
            pass_fds=hold,
            start_new_session=True,
        )
        self._shown = _Shown(self._process.stderr, self._record, silent=not alone)

    def ended(self) -> Ended | None:
        """Return how it ended; None while it runs.

        Raises:
            KeyboardInterrupt: It was interrupted.
        """
        code = self._process.poll()
        if code is None:
            return None
        self.close()
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        return _ended(code, self._shown.lines, self._log)

    def terminate(self) -> None:
        """Let it close what it writes, and show no more of it."""
        self._shown.end()
        self._process.terminate()  # SIGINT may be ignored, as in a shell's background

    def close(self) -> None:
        """Wait for its end; force it where that takes too long, or on a second interruption."""
        try:
            self._process.wait(PATIENCE)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._process.kill()
            self._process.wait()
        self._shown.join(PATIENCE)
        self._record.close()


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
        silent: Pass nothing on.
    """

    def __init__(self, source: IO[bytes] | None, record: IO[str], silent: bool) -> None:
        super().__init__(daemon=True)
        self._source, self._record = source, record
        self.lines: list[str] = []
        self._silent, self._shows = silent, threading.Lock()
        self.start()

    def end(self) -> None:
        """Pass nothing on any more; a bar's line is left as it is, and ended."""
        with self._shows:
            if not self._silent:
                print(file=sys.stderr, flush=True)
            self._silent = True

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
        told = zip(parts, begins, strict=True)
        passed = "".join(part for part, first in told if not (first and part.startswith(ERROR)))
        with self._shows:
            if not self._silent:
                sys.stderr.write(passed)
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
