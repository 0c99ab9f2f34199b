"""Pool of workers that each do one job at a time: what every kind of pool promises."""

from __future__ import annotations

import argparse
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keras_ddl.edge.values import positive

JOB_S = 3600.0  # a job that has not ended by then is given up
ATTEMPTS = 2  # a job whose worker dies is begun so often
CRASHED, TIMEOUT, ABANDONED = "crashed", "timeout", "abandoned"

Job = TypeVar("Job")
Result = TypeVar("Result")


def add_file_timeout(parser: argparse.ArgumentParser | Any, seconds: float = JOB_S) -> None:
    """Add the option for a pool's bound on the time of one file, to a parser or a group."""
    parser.add_argument(
        "--file-timeout",
        type=positive,
        default=seconds,
        metavar="S",
        help="give a file up after so many seconds (default: %(default)g)",
    )


@dataclass(frozen=True)
class Loss:
    """Why a job has no result of its own.

    Attributes:
        kind: `CRASHED`, `TIMEOUT` or `ABANDONED`.
        reason: In one line, without the job's name.
    """

    kind: str
    reason: str


class WorkerPool(AbstractContextManager["WorkerPool[Job, Result]"], Generic[Job, Result]):
    """Workers that were told at the start what to do with a job; they end with this context.

    A job is on its own: one whose worker dies is begun once more when the others are begun, on
    another worker; if that dies too, or the job ends by an error that nobody foresaw, or takes
    longer than the pool's bound, that is this job's result and no other's.

    Attributes:
        done_by: How many jobs each node of a cluster has done; empty without one.
    """

    done_by: Counter[str]

    @abstractmethod
    def map(
        self,
        jobs: Iterable[Job],
        lost: Callable[[Job, Loss], Result],
        tell: Callable[[int, float], None] | None = None,
    ) -> Iterator[tuple[int, Result]]:
        """Yield (number of the job, its result) as they come.

        Args:
            jobs: Picklable, begun in this order, each when a worker is free.
            lost: Result of a job that has none of its own; called where `map` is.
            tell: Gets the number of a job and the share that it tells with `tell_share`.

        Raises:
            UserError: What a job raised as such: it concerns all of them. Or no worker can begin.
            OSError: The machine refused something to a job that it refuses to all: a full disk.
        """


class _Listener:
    """Whoever a worker tells its shares; nobody in a process that is no worker."""

    tell: Callable[[float], None] | None = None


def tell_share(share: float) -> None:
    """Tell what share of the job at hand is done, in [0, 1]; for use while a job is done."""
    if _Listener.tell is not None:
        _Listener.tell(share)


def tell_through(tell: Callable[[float], None]) -> None:
    """Have `tell_share` reach a pool; called by the pool in each of its workers."""
    _Listener.tell = tell
