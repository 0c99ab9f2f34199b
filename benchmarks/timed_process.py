"""Timed processes: they wait for a word, so that several take turns and none disturbs another.

What is to be timed lives in a process of its own, made once; while one works the others sleep.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import time
import traceback
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.memory import peak_mib

Name = TypeVar("Name", bound=Hashable)
Answers = Mapping[str, Callable[[], Any]]  # word → what makes the answer

REPO = Path(__file__).resolve().parents[1]
_SPAWN = multiprocessing.get_context("spawn")  # nothing of this process' memory is theirs


class TimedProcess:
    """A process that answers words; a context manager, at whose end the process ends.

    Args:
        make: A function of a module: called once in the process, returns what it answers.
        arguments: Of `make`.
    """

    def __init__(self, make: Callable[..., Answers], *arguments: Any) -> None:
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, make, arguments))
        self._process.start()
        theirs.close()  # so that its end is noticed

    def __enter__(self) -> TimedProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()

    def tell(self, word: str) -> None:
        """Send a word and do not wait."""
        with suppress(OSError):  # it has ended: `answer` says why
            self._pipe.send(word)

    def answer(self) -> Any:
        """Wait for the answer to a word told.

        Raises:
            UserError: If the process has ended; with the last line of its error.
        """
        try:
            answer = self._pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            answer = _Failed(self._process.exitcode or 0, "nothing")
        if isinstance(answer, _Failed):
            code, last = answer.args
            message = f"a process being timed ended with exit code {code}: {last}"
            raise UserError(message, CHECK_FAILED)
        return answer

    def ask(self, word: str) -> Any:
        """Tell a word and wait for the answer."""
        self.tell(word)
        return self.answer()


class OtherPython:
    """A process of another interpreter that answers words with lines of JSON; a context manager.

    Args:
        python: The interpreter.
        module: What it runs, in this clone: reads words from its standard input, a line each.
        arguments: Of the module.

    Raises:
        UserError: it cannot be started (2).
    """

    def __init__(self, python: Path, module: str, *arguments: str) -> None:
        line = [str(python), "-m", module, *arguments]
        try:
            self._process = subprocess.Popen(
                line, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError as error:
            raise UserError(f"expected a Python, received '{python}': {error.strerror}") from error

    def __enter__(self) -> OtherPython:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, word: str) -> Any:
        """Tell a word and wait for the answer.

        Raises:
            UserError: If the process has ended (4); its own words are on standard error.
        """
        pipe = self._process
        with suppress(OSError):  # it has ended: the empty answer says so
            pipe.stdin.write(f"{word}\n")  # type: ignore[union-attr]
            pipe.stdin.flush()  # type: ignore[union-attr]
        line = pipe.stdout.readline()  # type: ignore[union-attr]
        if not line:
            code, command = pipe.wait(), " ".join(map(str, pipe.args))  # type: ignore[arg-type]
            raise UserError(
                f"expected an answer of `{command}`, it ended with {code}", CHECK_FAILED
            )
        return json.loads(line)


class _Failed(Exception):
    """What ended a process: exit code, last line."""


def _serve(pipe: Connection, make: Callable[..., Answers], arguments: tuple[Any, ...]) -> None:
    try:
        answers = make(*arguments)
        while True:
            pipe.send(answers[pipe.recv()]())
    except (EOFError, KeyboardInterrupt):
        return
    except UserError as error:
        pipe.send(_Failed(error.exit_code, str(error)))
    except Exception as error:
        pipe.send(_Failed(1, traceback.format_exception_only(error)[-1].strip()))


def timed_in_turn(
    subjects: Mapping[Name, Callable[[], Callable[[], Any]] | OtherPython],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[dict[Name, list[float]], dict[Name, dict[str, float]]]:
    """Time functions, each in a process of its own, in turn, after two untimed calls each.

    Args:
        subjects: Name → what makes the function, as a `partial` of a module's function; or another
            interpreter that answers "run" with seconds and "memory" with what is returned here.
        rounds: Timed rounds.
        clock: Of the seconds; `time.process_time` counts the processor's, of all threads.

    Returns:
        Name → seconds of every round, and name → `peak_mib` of its process and `step_mib`, how much
        of that the calls took.
    """
    with ExitStack() as stack:
        processes: dict[Name, TimedProcess | OtherPython] = {}
        for name, subject in subjects.items():
            process = (
                subject
                if isinstance(subject, OtherPython)
                else TimedProcess(_timed, subject, clock)
            )
            processes[name] = stack.enter_context(process)
            for _ in range(2):
                processes[name].ask("run")
        seconds: dict[Name, list[float]] = {name: [] for name in subjects}
        for _ in range(rounds):
            for name, process in processes.items():
                seconds[name].append(process.ask("run"))
        return seconds, {name: process.ask("memory") for name, process in processes.items()}


def _timed(subject: Callable[[], Callable[[], Any]], clock: Callable[[], float]) -> Answers:
    run = subject()
    before = peak_mib()

    def seconds() -> float:
        started = clock()
        run()
        return clock() - started

    def memory() -> dict[str, float]:
        return {"peak_mib": peak_mib(), "step_mib": peak_mib() - before}

    return {"run": seconds, "memory": memory}


def peak_of(run: Callable[..., object], *arguments: Any) -> float:
    """Peak memory in MiB of a process of its own that calls a module's function."""
    with ProcessPoolExecutor(1, _SPAWN) as pool:
        return pool.submit(_peak_after, partial(run, *arguments)).result()


def _peak_after(run: Callable[[], object]) -> float:
    run()
    return peak_mib()
