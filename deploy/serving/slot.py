"""Slots of the server: threads that each take a file from the desk and have it judged apart."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from deploy.judging.records import Record
from deploy.scanning.file_record import blank_record
from deploy.scanning.files import Candidate
from deploy.scanning.kit import Kit, Options, open_kit
from deploy.serving.desk import Desk
from deploy.serving.fetch import Fetcher, FetchError
from deploy.serving.job import FAILED, UNFETCHED, Job
from deploy.serving.judge import Upload, judge_upload, result_of
from deploy.sources.redact import redact
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.workers.pool import ABANDONED, TIMEOUT, Loss
from keras_ddl.edge.workers.process_pool import ProcessPool

SCHEMA = 1
LOOK_S = 0.1  # how often it is looked whether a file is still wanted
CLOSE_S = 5.0  # for a thread to end
LACKING = "something is missing on the server; its log says what"
INTERNAL = "an internal error; the log of the server says more"

log = logging.getLogger(__name__)


class Slots:
    """A context manager around the threads; the worker processes end with it.

    Args:
        desk: Where files come from and results go.
        options: How files are judged.
        about: Who judges them, as every result says it.
        fetcher: Fetches what is behind a link.
        keep_videos: Whether a kept result has its video beside it.
    """

    def __init__(
        self,
        desk: Desk,
        options: Options,
        about: Mapping[str, Any],
        fetcher: Fetcher,
        keep_videos: bool,
    ) -> None:
        self._desk = desk
        self._fetcher = fetcher
        self._keep_videos = keep_videos
        self._about = about
        self._options = options
        names = (f"slot {number + 1}" for number in range(desk.limits.jobs))
        self._threads = [threading.Thread(target=self._run, name=n, daemon=True) for n in names]

    def __enter__(self) -> Slots:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._desk.close()
        for thread in self._threads:
            thread.join(CLOSE_S)

    def fetch(self, job: Job) -> None:
        """Fetch a file on a thread of its own, so that a slow server keeps nobody waiting."""
        threading.Thread(target=self._fetch, args=(job,), name="fetch", daemon=True).start()

    @property
    def alive(self) -> bool:
        """Whether all threads live."""
        return all(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while True:
            pool = self._pool()
            with pool:
                while (job := self._desk.take()) is not None:
                    if not self._serve(job, pool):
                        break  # the pool is left in the middle of a job: another one
                else:
                    return

    def _pool(self) -> ProcessPool[Kit, Upload, Record]:
        limits = self._desk.limits
        start = partial(_begin, self._options, limits.nice)
        return ProcessPool(1, start, judge_upload, limits.file_timeout_s)

    def _fetch(self, job: Job) -> None:
        began = time.monotonic()
        try:
            self._fetcher.fetch(job)
            self._desk.hand_in(job)
        except FetchError as error:
            told = result_of(_blank(job, Loss(UNFETCHED, str(error))))
            self._settle(job, told, time.monotonic() - began)
        except Exception:  # a fault of this program: it costs this file, and not its place
            log.exception("a file could not be fetched")
            told = result_of(_blank(job, Loss(FAILED, INTERNAL)))
            self._settle(job, told, time.monotonic() - began)

    def _serve(self, job: Job, pool: ProcessPool[Kit, Upload, Record]) -> bool:
        """Bring a file to its result; return whether the pool may be used again."""
        began, usable = time.monotonic(), True
        try:
            told = self._judge(job, pool)
        except UserError as error:  # no fault of the file's; it may name places of this machine
            log.warning("a file could not be judged: %s", error)
            told, usable = result_of(_blank(job, Loss(FAILED, LACKING))), False
        except Exception:  # a fault of this program: it costs this file
            log.exception("a file could not be judged")
            told, usable = result_of(_blank(job, Loss(FAILED, INTERNAL))), False
        self._settle(job, told, time.monotonic() - began)
        return usable

    def _judge(self, job: Job, pool: ProcessPool[Kit, Upload, Record]) -> Record:
        limits = self._desk.limits
        places = str(job.video), job.name, str(job.folder)
        upload = Upload(*places, limits.longest_s, limits.most_memory)
        over = threading.Event()

        def watch() -> None:
            while not over.wait(LOOK_S):
                if job.cancelled.is_set() and pool.abandon():
                    return

        def lost(_: Upload, loss: Loss) -> Record:
            return result_of(_blank(job, loss))

        def tell(_: int, share: float) -> None:
            job.share = share

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            return dict(pool.map([upload], lost, tell))[0]
        finally:
            over.set()
            watcher.join()

    def _settle(self, job: Job, told: Record, took_s: float) -> None:
        if job.cancelled.is_set() or told["status"] == ABANDONED:
            self._desk.drop(job)
            return
        try:
            if not self._keep_videos:
                job.video.unlink(missing_ok=True)
            self._desk.settle(job, {**_identity(job), **self._about, **told}, took_s)
        except OSError as error:
            log.warning("a result could not be kept: %s", error)
            self._desk.drop(job)
        except Exception:  # or the thread would end, and with it all judging
            log.exception("a result could not be kept")
            self._desk.drop(job)


def _begin(options: Options, nice: int) -> Kit:
    """Make a new process ready to judge."""
    os.nice(nice)  # before it has threads: each has the priority of the one that began it
    return open_kit(options)


def _identity(job: Job) -> Record:
    """What a result says of its file before it is known what is in it."""
    return {
        "type": "result",
        "schema": SCHEMA,
        "id": job.id,
        "name": job.name,
        "origin": job.origin,
        "link": redact(job.link) if job.link else None,
        "received": job.received,
    }


def _blank(job: Job, loss: Loss) -> Record:
    """The record of a file that has none of its own."""
    record = blank_record(Candidate(job.name, True, job.size, 0))
    reason = loss.reason
    if loss.kind == TIMEOUT:
        reason = f"not judged: {reason}"
    return {**record, "status": loss.kind, "reason": reason, "sha256": None}
