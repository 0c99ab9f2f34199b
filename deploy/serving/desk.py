"""Desk of the server: files that come in, wait, are judged, and are forgotten."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections import deque
from datetime import datetime, timezone
from typing import Any

from deploy.judging.records import Record
from deploy.serving.job import Job, State, summary_of
from deploy.serving.limits import Limits
from deploy.serving.names import new_id
from deploy.serving.store import Store

NEWEST = 100  # results in the list
FIRST_GUESS_S = 20.0  # how long judging takes, until one has been judged
EARLY = (State.RECEIVING, State.FETCHING, State.WAITING)
RETRY_S = (3, 600)  # bounds of what a visitor is told to wait

log = logging.getLogger(__name__)


class FullError(Exception):
    """As many files wait as may, of all visitors or of one.

    Args:
        why: For the visitor.
        status: HTTP status.
        retry_after_s: When to try again.
    """

    def __init__(self, why: str, status: int, retry_after_s: int) -> None:
        super().__init__(f"{why}; try again in {retry_after_s} s")
        self.status = status
        self.retry_after_s = retry_after_s


class Desk:
    """State of all files; every method may be called from any thread.

    Args:
        store: Where results are.
        limits: How many, how long.
    """

    def __init__(self, store: Store, limits: Limits) -> None:
        self.store = store
        self.limits = limits
        self._jobs: dict[str, Job] = {}  # in order of their coming; done ones too, unless kept
        self._queue: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._took_s = FIRST_GUESS_S

    def admit(self, name: str, origin: str, visitor: str, link: str = "") -> Job:
        """Take a place for a file, before its first byte.

        Args:
            name: Of the file.
            origin: `UPLOAD` or `LINK`.
            visitor: Who sends it.
            link: Where it is.

        Raises:
            FullError: there is none, or none for this visitor.
            OSError: no room on the disk.
        """
        with self._changed:
            self._forget_old()
            self._check_room(visitor)
            identity = new_id()
            received = datetime.now(timezone.utc).isoformat(timespec="seconds")
            folder = self.store.open_folder(identity)
            state = State.FETCHING if link else State.RECEIVING
            job = Job(identity, name, origin, received, folder, link, visitor, state=state)
            self._jobs[identity] = job
            return job

    def hand_in(self, job: Job) -> None:
        """Put a file, all of which is here, at the end of the queue."""
        with self._changed:
            if job.cancelled.is_set():
                return
            job.state, job.share = State.WAITING, 0.0
            self._queue.append(job)
            self._changed.notify()

    def take(self) -> Job | None:
        """Wait for the next file that is to be judged; None once the desk is closed."""
        with self._changed:
            while not self._queue and not self._closed:
                self._changed.wait(5.0)
                self._forget_old()
            if self._closed:
                return None
            job = self._queue.popleft()
            job.state = State.JUDGING
            return job

    def settle(self, job: Job, result: Record, took_s: float) -> None:
        """Keep the result of a file.

        Raises:
            OSError: no room.
        """
        with self._changed:
            if job.cancelled.is_set():
                return
            job.folder = self.store.settle(job.folder, result)
            job.told = summary_of(result)
            job.state, job.share, job.ended = State.DONE, 1.0, time.monotonic()
            self._took_s = 0.7 * self._took_s + 0.3 * took_s
            if self.store.keeps:  # from now on it is found there
                del self._jobs[job.id]
            self._forget_old()

    def drop(self, job: Job) -> None:
        """Forget a file that is not done, and all of it on the disk."""
        with self._changed:
            job.cancelled.set()
            self._jobs.pop(job.id, None)
            if job in self._queue:
                self._queue.remove(job)
        shutil.rmtree(job.folder, ignore_errors=True)

    def remove(self, identity: str) -> bool:
        """Cancel a file, or remove its result; return whether there was one."""
        with self._changed:
            job = self._jobs.get(identity)
            if job is not None and job.state is not State.DONE:
                self.drop(job)
                return True
            self._jobs.pop(identity, None)
            return self.store.remove(identity)

    def tell(self, identity: str) -> dict[str, Any] | None:
        """Where a file is, for its page; None where there is none."""
        with self._changed:
            self._forget_old()
            job = self._jobs.get(identity)
            if job is not None:
                return self._told(job)
        result = self.store.read(identity)
        return None if result is None else told_of(result)

    def history(self) -> list[dict[str, Any]]:
        """All files, the newest first."""
        with self._changed:
            self._forget_old()
            here = [self._told(job) for job in reversed(self._jobs.values())]
        known = {told["id"] for told in here}
        kept = self.store.newest(NEWEST, told_of) if self.store.keeps else ()
        return [*here, *(told for told in kept if told["id"] not in known)]

    def busy(self) -> tuple[int, int]:
        """How many files are under way, and how many results are remembered."""
        with self._changed:
            done = sum(job.state is State.DONE for job in self._jobs.values())
            return len(self._jobs) - done, done

    def close(self) -> None:
        """Let nothing in any more, and give up what is under way."""
        with self._changed:
            self._closed = True
            for job in self._jobs.values():
                job.cancelled.set()
            self._changed.notify_all()

    def _told(self, job: Job) -> dict[str, Any]:
        ahead = self._queue.index(job) if job in self._queue else 0
        return {
            "id": job.id,
            "name": job.name,
            "origin": job.origin,
            "received": job.received,
            "size": job.size,
            "state": job.state.value,
            "share": round(job.share, 3),
            "ahead": ahead,
            **{name: job.told.get(name) for name in summary_of({})},
        }

    def _check_room(self, visitor: str) -> None:
        early = [job for job in self._jobs.values() if job.state in EARLY]
        if len(early) >= self.limits.waiting or self._closed:
            raise FullError("too many files wait already", 503, self._retry_after(len(early)))
        most = self.limits.waiting_each
        if sum(job.visitor == visitor for job in early) >= most:
            why = f"expected at most {most} files of one visitor that wait, received one more"
            raise FullError(why, 429, self._retry_after(1))

    def _retry_after(self, early: int) -> int:
        low, high = RETRY_S
        return round(min(max(self._took_s * early / self.limits.jobs, low), high))

    def _forget_old(self) -> None:
        """Remove results that nobody asked to keep, by age and by number."""
        if self.store.keeps:
            return
        done = [job for job in self._jobs.values() if job.state is State.DONE]
        done.sort(key=lambda job: job.ended)
        oldest = time.monotonic() - self.limits.kept_s
        for place, job in enumerate(done):
            if place < len(done) - self.limits.kept or job.ended < oldest:
                del self._jobs[job.id]
                self.store.remove(job.id)


def told_of(result: Record) -> dict[str, Any]:
    """What lists say of a result that is on the disk alone."""
    shown = ("id", "name", "origin", "received", "size")
    return {
        **{name: result.get(name) for name in shown},
        "state": State.DONE.value,
        "share": 1.0,
        "ahead": 0,
        **summary_of(result),
    }
