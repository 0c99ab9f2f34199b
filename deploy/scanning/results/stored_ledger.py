"""Ledger of a scan whose results go to an object store, which cannot append to a file."""

from __future__ import annotations

import time
import uuid
from contextlib import ExitStack

from deploy.judging.records import Record
from deploy.scanning.results.ledger import LEDGER, Ledger
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.claim import Claim
from keras_ddl.edge.storage.spool import owned_folder
from keras_ddl.edge.storage.store import Store
from keras_ddl.edge.workers.pool import JOB_S

PARTS = f"{LEDGER}.parts"
SEND_S, SEND_LINES = 2.0, 500  # what is newer or less may be lost when this process is killed


class StoredLedger(Ledger):
    """A ledger on this machine whose lines go to the store in parts, and whole at the end.

    A `Claim` keeps two scans from one place. Should there be two all the same, as one stood still
    for too long, both write all their parts, and the newest record of each file counts.

    Args:
        place: The folder of the results.
        key, timeout_s: As in `Ledger`.
    """

    def __init__(self, place: Address, key: str, timeout_s: float = JOB_S) -> None:
        self._store, self._place = Store(place), place
        self._stack = ExitStack()
        self._work = self._stack.enter_context(owned_folder())
        super().__init__(self._work, key, timeout_s)
        self._unsent: list[bytes] = []
        self._sent = time.monotonic()

    def __enter__(self) -> StoredLedger:
        """Fetch what is there and read it.

        Raises:
            UserError: the store does not answer, or another scan writes there.
        """
        try:
            self._store.check_writable(self._place)
            self._stack.enter_context(Claim(self._place))
            with (self._work / LEDGER).open("wb") as whole:
                whole.write(_lines(self._store.read(self._place / LEDGER)))
                for part in self._parts():
                    whole.write(_lines(self._store.read(part)))
            super().__enter__()
        except BaseException:
            self._stack.close()
            raise
        return self

    def add(self, record: Record) -> tuple[Record, int]:
        """As `Ledger.add`; sends what has not been sent, now and then."""
        record, at = super().add(record)
        file = self._opened()
        file.seek(at)
        self._unsent.append(file.readline())
        if len(self._unsent) >= SEND_LINES or time.monotonic() > self._sent + SEND_S:
            self._send()
        return record, at

    def __exit__(self, *error: object) -> None:
        """Send what is left; put the parts together in one object."""
        try:
            self._send()
            parts = self._parts()
            if parts:
                self._store.upload(self._work / LEDGER, self._place / LEDGER)
            for part in parts:
                self._store.remove(part)
        finally:
            super().__exit__(*error)
            self._stack.close()

    def _parts(self) -> list[Address]:
        """The parts in the store, in the order in which they were begun."""
        listed = self._store.below(self._place / PARTS, missing=True)
        return sorted(file.address for file in listed)

    def _send(self) -> None:
        if self._unsent:
            name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.jsonl"
            self._store.write(self._place / PARTS / name, b"".join(self._unsent))
            self._unsent.clear()
        self._sent = time.monotonic()


def _lines(content: bytes | None) -> bytes:
    """Whole lines, so that what follows begins one."""
    content = content or b""
    return content if content.endswith(b"\n") or not content else content + b"\n"
