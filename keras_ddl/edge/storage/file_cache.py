"""Cache of a store's files in a folder of this machine: whole files, bounded, by their SHA-256."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.edge.files import PART
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.store import Store, StoredFile

GIB = "KERAS_DDL_CACHE_GIB"
DEFAULT_GIB = 50.0
DAY_S = 86400.0
_SHA256 = re.compile("[0-9a-f]{64}")


def cache_bytes() -> int:
    """Return how many bytes a cache may hold: so many GiB as the environment says, or 50.

    Raises:
        UserError: It says something else.
    """
    text = os.environ.get(GIB, "")
    try:
        gib = float(text or DEFAULT_GIB)
    except ValueError:
        gib = -1.0
    if not 0 <= gib < float("inf"):
        raise UserError(f"{GIB}: expected a number of GiB, 0 or more, received {text!r}")
    return int(gib * (1 << 30))


class FileCache:
    """A folder of fetched files, each named by its SHA-256; several processes may share it.

    Files of others make room, the ones that were longest not asked for first; those that are wanted
    here stay. What then finds no room is not fetched: a set that is read over and over, and is
    larger than the cache, would push itself out of it.

    Args:
        folder: The folder; made where it is not there.
        most: Bytes that it may hold.
        wanted: SHA-256 of the files that will be asked for.
    """

    def __init__(self, folder: Path, most: int, wanted: Collection[str]) -> None:
        self._folder, self._most, self._wanted = folder, most, frozenset(wanted)
        folder.mkdir(parents=True, exist_ok=True)
        for part in folder.glob(f".*{PART}"):  # of a process that was killed
            if (facts := _facts(part)) and facts.st_mtime < time.time() - DAY_S:
                part.unlink(missing_ok=True)
        self._fetching: dict[str, threading.Lock] = {}
        self._room = threading.Lock()
        self._promised = 0  # bytes that are being fetched

    def fetched(self, store: Store, address: Address, size: int, sha256: str) -> Path | None:
        """Return where a file is here; None where there is no room for it.

        Raises:
            UserError: It cannot be read, or is not what it is to be: that with code 4.
        """
        if not _SHA256.fullmatch(sha256):  # it comes from elsewhere, and names a file here
            raise UserError(f"{address}: expected its SHA-256, received {sha256!r}", CHECK_FAILED)
        path = self._folder / sha256
        with self._room:
            lock = self._fetching.setdefault(sha256, threading.Lock())
        with lock:
            if _size(path) == size:
                with suppress(OSError):  # another process has just deleted it
                    os.utime(path)
                    return path
            if not self._make_room(size):
                return None
            try:
                self._fetch(store, address, size, sha256, path)
            except OSError:  # the disk is full before the bound is reached
                return None
            finally:
                with self._room:
                    self._promised -= size
        return path

    def _fetch(self, store: Store, address: Address, size: int, sha256: str, path: Path) -> None:
        part = path.with_name(f".{sha256}.{os.getpid()}{PART}")
        try:
            found = store.download(StoredFile(address, size), part)
            if found != sha256:
                message = f"{address}: expected SHA-256 {sha256}, received {found}"
                raise UserError(f"{message}; prepare the videos again", CHECK_FAILED)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, size: int) -> bool:
        """Promise so many bytes; files of others are deleted for them."""
        with self._room:
            there = [(p, facts) for p in self._folder.iterdir() if (facts := _facts(p))]
            used = sum(facts.st_size for p, facts in there if p.suffix != PART) + self._promised
            others = [(p, facts) for p, facts in there if p.name not in self._wanted]
            for path, facts in sorted(others, key=lambda one: one[1].st_mtime_ns):
                if used + size <= self._most:
                    break
                path.unlink(missing_ok=True)
                used -= facts.st_size
            if used + size > self._most:
                return False
            self._promised += size
            return True


def _facts(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _size(path: Path) -> int | None:
    facts = _facts(path)
    return None if facts is None else facts.st_size
