"""Timed processes: they wait for a word, so that several take turns and none disturbs another.

What is to be timed lives in a process of its own, made once; while one works the others sleep.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

from keras_ddl.edge.errors import CHECK_FAILED, UserError

Name = TypeVar("Name", bound=Hashable)


class TimedProcess:
    """A process that runs `serve`; a context manager, at whose end the process ends.

    Args:
        command: What starts it.
        environment: Of the process; None = this one's.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None):
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            text=True,
        )

    def __enter__(self) -> TimedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def tell(self, word: str) -> None:
        """Send a word and do not wait.

        Raises:
            UserError: If the process has ended; with the last line it wrote.
        """
        try:
            print(word, file=self._process.stdin, flush=True)
        except BrokenPipeError:
            raise self._ended() from None

    def answer(self) -> Any:
        """Wait for the answer to a word told.

        Raises:
            UserError: If the process has ended; with the last line it wrote.
        """
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise self._ended()
        return json.loads(line)

    def ask(self, word: str) -> Any:
        """Tell a word and wait for the answer."""
        self.tell(word)
        return self.answer()

    def _ended(self) -> UserError:
        self._process.wait()
        self._errors.seek(0)
        last = (self._errors.read().strip().splitlines() or ["nothing"])[-1]
        return UserError(
            f"a process being timed ended with exit code {self._process.returncode}: "
            f"{last.removeprefix('error: ')}",
            CHECK_FAILED,
        )


def serve(answers: Mapping[str, Callable[[], Any]]) -> int:
    """Answer words from stdin, as JSON on stdout, until there are no more.

    Args:
        answers: Word → what makes the answer.
    """
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)
    return 0


def serve_run(run: Callable[[], Any], memory: Callable[[], Any]) -> int:
    """Answer "run" with the seconds that it takes, and "memory"; what `timed_in_turn` asks for."""

    def timed() -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    return serve({"run": timed, "memory": memory})


def timed_in_turn(
    commands: Mapping[Name, Sequence[str]], rounds: int
) -> tuple[dict[Name, list[float]], dict[Name, Any]]:
    """Time processes that `serve_run`, in turn, after two untimed runs each.

    Args:
        commands: Name → what starts the process.
        rounds: Timed rounds.

    Returns:
        Name → seconds of every round, and name → what it says of its memory after the last.
    """
    with ExitStack() as stack:
        processes = {}
        for name, command in commands.items():
            processes[name] = stack.enter_context(TimedProcess(command))
            for _ in range(2):
                processes[name].ask("run")
        seconds: dict[Name, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, process in processes.items():
                seconds[name].append(process.ask("run"))
        return seconds, {name: process.ask("memory") for name, process in processes.items()}
