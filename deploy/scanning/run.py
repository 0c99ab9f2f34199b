"""Run of a scan: what is known, what is left, and what it comes to."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from deploy.scanning.file_record import JUDGED, SKIPPED, lost_record
from deploy.scanning.files import Candidate
from deploy.scanning.judge import judge_in_worker
from deploy.scanning.kit import Options, open_kit
from deploy.scanning.progress import Bar
from deploy.scanning.results.ledger import Ledger
from deploy.scanning.results.place import Results
from deploy.scanning.results.stored_ledger import StoredLedger
from deploy.scanning.results.summary import HTML, write_summary
from deploy.scanning.worklist import Worklist
from keras_ddl.edge.errors import USAGE
from keras_ddl.edge.files import printable
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.workers.cluster import ClusterOptions
from keras_ddl.edge.workers.pools import open_pool

NAMED = 50  # files that could not be judged and are named at the end


def open_ledger(results: Results, key: str, timeout_s: float) -> Ledger:
    """Return the ledger of a place of results, to be entered."""
    if isinstance(results.place, Address):
        return StoredLedger(results.place, key, timeout_s)
    return Ledger(Path(results.place), key, timeout_s)


class ScanRun:
    """A scan, from what its ledger knows to its summary.

    Args:
        results: Where results go.
        ledger: Of that place, open.
        worklist: The files that were found.
        about: Who judges by which rule.
    """

    def __init__(
        self, results: Results, ledger: Ledger, worklist: Worklist, about: dict[str, Any]
    ) -> None:
        self._results, self._ledger, self._worklist = results, ledger, worklist
        self._about = about
        self._seconds = 0.0
        self._by_sample = False

    def judge(self, options: Options, jobs: int, cluster: ClusterOptions | None) -> int:
        """Judge what is left, write the summary, and return the exit code."""
        done, found = self._worklist.done(), self._worklist.found()
        if done:
            _say(f"going on: {done} of {found} files are done")
        began = time.monotonic()
        try:
            if done < found:
                self._judge_left(options, min(jobs, found - done), cluster, found - done)
        finally:
            self._summarise(found)
        return self._close(time.monotonic() - began)

    def _judge_left(
        self, options: Options, jobs: int, cluster: ClusterOptions | None, files: int
    ) -> None:
        start = partial(open_kit, options)
        lost = partial(lost_record, timeout_s=options.timeout_s)
        with open_pool(cluster, jobs, start, judge_in_worker, options.timeout_s) as pool:
            bar = Bar(self._worklist.bytes_left(), files, pool.done_by)
            numbers: dict[int, int] = {}  # by index, of the files that are with a worker
            with closing(bar):
                for index, record in pool.map(self._begun(bar, numbers), lost, bar.share):
                    record, at = self._ledger.add(record)
                    self._worklist.settle(numbers.pop(index), record, at)
                    seconds = record.get("seconds") or 0.0
                    self._seconds += seconds
                    self._by_sample |= bool(record.get("sample"))
                    bar.done(index, record["status"] not in (JUDGED, SKIPPED), seconds)

    def _begun(self, bar: Bar, numbers: dict[int, int]) -> Iterator[Candidate]:
        """Yield the files that are left, each noted as begun when a worker takes it."""
        for index, (number, candidate) in enumerate(self._worklist.left()):
            numbers[index] = number
            bar.begin(index, candidate.size)
            yield candidate

    def _summarise(self, found: int) -> None:
        finished = datetime.now(timezone.utc).isoformat(timespec="seconds")
        left = found - self._worklist.done()
        write_summary(
            self._results,
            self._worklist.records(),
            self._worklist.totals(),
            {**self._about, "finished": finished, "left": left},
        )

    def _close(self, elapsed_s: float) -> int:
        bad = 0
        for record in self._worklist.failed():
            bad += 1
            if bad <= NAMED:
                _say(f"{printable(record['path'])}: {record['reason']}")
        if bad > NAMED:
            _say(f"and {bad - NAMED} more, in {self._results.place}")
        how = ", by sample," if self._by_sample else ""
        _say(_closing(self._worklist.totals(), self._seconds, elapsed_s, how))
        place = self._results.place
        print(place / HTML)
        return USAGE if bad else 0


def _closing(totals: Mapping[str, int], seconds: float, elapsed_s: float, how: str) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in totals.items() if count)
    line = f"{sum(totals.values())} files: {counts}"
    if seconds:
        speed = seconds / max(elapsed_s, 1e-9)
        line += f"; {seconds:.1f} s of video{how} in {elapsed_s:.1f} s: {speed:.1f} x real time"
    return line


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
