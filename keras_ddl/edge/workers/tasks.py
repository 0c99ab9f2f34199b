"""Tasks of a pool: which comes next, and when one whose worker died is given up."""

from __future__ import annotations

import os
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Generic, TypeVar

from keras_ddl.edge.errors import UserError, is_refusal
from keras_ddl.edge.workers.pool import ATTEMPTS, CRASHED, Job, Loss

DONE, FAILED, BROKEN = "done", "failed", "broken"

Opened = TypeVar("Opened")


@dataclass
class Task(Generic[Job]):
    """A job, and how the processes died that it was given to.

    Attributes:
        number: Its place among the jobs.
        job: The job.
        deaths: A word per worker process that died over it.
        moves: How often the machine under a worker of it was lost, which is not its fault.
        abandoned: Whether nobody wants its result any more.
    """

    number: int
    job: Job
    deaths: list[str] = field(default_factory=list)
    moves: int = 0
    abandoned: bool = False


class Tasks(Generic[Job]):
    """The jobs of a pool in the order in which they are begun.

    Args:
        jobs: Taken one by one, each when a worker is free or `left` counts it.
    """

    def __init__(self, jobs: Iterable[Job] = ()) -> None:
        self._waiting: Iterator[Task[Job]] = (Task(n, job) for n, job in enumerate(jobs))
        self._counted: deque[Task[Job]] = deque()
        self._again: deque[Task[Job]] = deque()

    def left(self, most: int) -> int:
        """How many are still to be begun, counted up to `most`."""
        more = max(0, most - len(self._counted) - len(self._again))
        self._counted.extend(islice(self._waiting, more))
        return min(most, len(self._counted) + len(self._again))

    def next(self) -> Task[Job] | None:
        """The next task; those whose worker died come last, when there is most room for them."""
        task = self._counted.popleft() if self._counted else next(self._waiting, None)
        return self._again.popleft() if task is None and self._again else task

    def after_death(self, task: Task[Job], how: str) -> Loss | None:
        """Note that a worker died over a task; it is begun once more, or this is why not."""
        task.deaths.append(how)
        if len(task.deaths) < ATTEMPTS:
            self._again.append(task)
            return None
        ways = ", ".join(dict.fromkeys(task.deaths))
        return Loss(CRASHED, f"{ATTEMPTS} worker processes died over it ({ways})")

    def put_back(self, task: Task[Job]) -> None:
        """Have a task begun again whose worker was lost for no fault of it."""
        task.moves += 1
        self._again.append(task)


def outcome(work: Callable[[Opened, Job], Any], opened: Opened, job: Job) -> tuple[str, Any]:
    """Do a job; return `DONE` and its result, or what ended it.

    `FAILED` comes with an error that concerns all jobs and its trace, `BROKEN` with a line on one
    that nobody foresaw.
    """
    try:
        return DONE, work(opened, job)
    except Exception as error:
        if isinstance(error, UserError) or is_refusal(error):
            return FAILED, (error, traceback.format_exc())
        place = traceback.extract_tb(error.__traceback__)[-1]
        first = (str(error).splitlines() or [""])[0]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"
        return BROKEN, f"an internal error, {type(error).__name__}: {first} ({where})"
