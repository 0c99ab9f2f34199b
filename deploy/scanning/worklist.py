"""Worklist of a scan: the files that were found and what became of each, on disk and not in memory.

A million files take as little memory as a thousand: the list is a temporary database, which goes
to disk by itself and is gone with the process.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from deploy.judging.records import Record
from deploy.scanning.file_record import JUDGED, SKIPPED, troubled_record
from deploy.scanning.files import Candidate
from deploy.scanning.results.ledger import Ledger
from deploy.scanning.results.page import LABELS
from keras_ddl.edge.files import printable

MEMORY_KIB = 16 << 10  # of the database's pages; what is more goes to disk
SOME = 1000  # rows that are looked at together
_TABLE = """
create table files (
    id integer primary key, same blob unique, path blob, expected integer, size integer,
    mtime_ns integer, tag text, kind text, place integer, score real, name text, seconds real,
    trouble integer, at integer, record text
)
"""
_CANDIDATE = "id, path, expected, size, mtime_ns, tag"


class Worklist:
    """The files of a scan, each once, and the records of those that are done."""

    def __init__(self) -> None:
        self._ledger: Ledger | None = None
        self._table = sqlite3.connect("", isolation_level=None)  # a file of its own, if it grows
        self._table.execute(f"pragma cache_size = -{MEMORY_KIB}")
        self._table.execute("pragma temp_store = file")
        self._table.execute("pragma journal_mode = off")
        self._table.execute(_TABLE)

    def add(self, candidate: Candidate) -> None:
        """Note a file; one that is there already under another name is not noted again."""
        path = Path(candidate.path)
        apart = candidate.trouble or candidate.stored is not None
        row = (
            os.fsencode(candidate.path if apart else path.resolve()),
            os.fsencode(candidate.path),
            candidate.expected,
            candidate.size,
            candidate.mtime_ns,
            candidate.tag,
        )
        columns = "same, path, expected, size, mtime_ns, tag"
        done = self._table.execute(
            f"insert or ignore into files ({columns}) values (?, ?, ?, ?, ?, ?)", row
        )
        if candidate.trouble and done.rowcount:
            record = troubled_record(candidate)
            self._settle(int(done.lastrowid or 0), record, text=json.dumps(record), trouble=1)

    def settle_known(self, ledger: Ledger) -> None:
        """Note the results of files that the ledger knows and that have not changed since.

        Args:
            ledger: Open, here and for as long as records are asked for.
        """
        self._ledger, last = ledger, 0
        while rows := self._some_left(last):
            for number, candidate in rows:
                last = number
                if (found := ledger.find(candidate)) is None:
                    continue
                record, at = found
                changed = record["mtime_ns"] != candidate.mtime_ns
                record = {**record, "mtime_ns": candidate.mtime_ns}
                self._settle(number, record, at, json.dumps(record) if changed else None)

    def settle(self, number: int, record: Record, at: int) -> None:
        """Note the result of a file.

        Args:
            number: Of the file, as `left` has it.
            record: Its record.
            at: Where the ledger has it.
        """
        self._settle(number, record, at)

    def left(self) -> Iterator[tuple[int, Candidate]]:
        """Yield the number and the file of those without a result, large ones first.

        The last ones to end are then short, and no process waits for long.
        """
        rows = self._table.execute(
            f"select {_CANDIDATE} from files where kind is null order by size desc, id"
        )
        for row in rows:
            yield row[0], _candidate(row)

    def records(self) -> Iterator[Record]:
        """Yield the records, the most suspicious first, then by name; skipped ones are left out."""
        rows = self._table.execute(
            "select at, record from files where kind is not null and kind != ? "
            "order by place, score desc, name",
            (SKIPPED,),
        )
        yield from (self._record(at, text) for at, text in rows)

    def failed(self) -> Iterator[Record]:
        """Yield the records of files that could not be judged, in the order they were found."""
        words = ", ".join("?" for _ in (*LABELS, SKIPPED))
        rows = self._table.execute(
            f"select at, record from files where kind not in ({words}) order by id",
            (*LABELS, SKIPPED),
        )
        yield from (self._record(at, text) for at, text in rows)

    def totals(self) -> dict[str, int]:
        """Files by verdict, and those that could not be judged by why."""
        rows = self._table.execute(
            "select kind, count(*) from files where kind is not null group by kind order by kind"
        )
        counts = dict(rows)
        return {**{label: counts.pop(label, 0) for label in LABELS}, **counts}

    def found(self) -> int:
        """How many files were found that can be tried."""
        return self._one("select count(*) from files where trouble is null")

    def done(self) -> int:
        """How many of those have a result."""
        return self._one("select count(kind) from files where trouble is null")

    def bytes_left(self) -> int:
        """Bytes of the files without a result."""
        return self._one("select coalesce(sum(size), 0) from files where kind is null")

    def seconds(self) -> float:
        """Seconds of video that were judged."""
        return float(self._one("select coalesce(sum(seconds), 0.0) from files"))

    def close(self) -> None:
        """Let it go."""
        self._table.close()

    def _some_left(self, after: int) -> list[tuple[int, Candidate]]:
        rows = self._table.execute(
            f"select {_CANDIDATE} from files where kind is null and id > ? order by id limit ?",
            (after, SOME),
        )
        return [(row[0], _candidate(row)) for row in rows]

    def _settle(
        self,
        number: int,
        record: Record,
        at: int | None = None,
        text: str | None = None,
        trouble: int | None = None,
    ) -> None:
        kind = record["verdict"] if record["status"] == JUDGED else record["status"]
        verdict, score = record["verdict"], record.get("fake_probability")
        place = LABELS.index(verdict) if verdict in LABELS else len(LABELS)
        name = printable(record["path"])
        values = (kind, place, -1.0 if score is None else score, name, record.get("seconds"))
        self._table.execute(
            "update files set kind = ?, place = ?, score = ?, name = ?, seconds = ?, at = ?, "
            "record = ?, trouble = ? where id = ?",
            (*values, at, text, trouble, number),
        )

    def _record(self, at: int | None, text: str | None) -> Record:
        if text is None and self._ledger is not None and at is not None:
            return self._ledger.read(at)
        record: Record = json.loads(text or "null")
        return record

    def _one(self, question: str) -> int:
        (value,) = self._table.execute(question).fetchone()
        return value  # type: ignore[no-any-return]


def _candidate(row: tuple[int, bytes, int, int, int, str]) -> Candidate:
    _, path, expected, size, mtime_ns, tag = row
    return Candidate(os.fsdecode(path), bool(expected), size, mtime_ns, tag=tag)
