"""Spool of a process: a folder for files that were fetched to be read, gone with the process."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from keras_ddl.edge.storage.store import Store, StoredFile

PREFIX = "keras-ddl-spool-"
_OWNER = ".owner"


class Spool:
    """A folder that holds one fetched file at a time.

    Args:
        root: Where it is made; "" is the system's folder for temporary files. What killed
            processes left there is deleted.
    """

    def __init__(self, root: str = "") -> None:
        folder = Path(root or tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        _clear(folder)
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        pending = self._folder / ".pending"  # held before it has the name that others look for
        self._owner: IO[str] = pending.open("w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        pending.rename(self._folder / _OWNER)
        self._store: dict[str, Store] = {}

    def store(self, file: StoredFile) -> Store:
        """Return the store of a file, opened once."""
        scheme = file.address.scheme
        if scheme not in self._store:
            self._store[scheme] = Store(file.address)
        return self._store[scheme]

    @contextmanager
    def fetched(
        self, file: StoredFile, tell: Callable[[float], None] = lambda share: None
    ) -> Iterator[tuple[Path, str]]:
        """Yield where a file was fetched to and its SHA-256; it is deleted behind the block.

        Raises:
            UserError: As `Store.download`.
            OSError: No room.
        """
        to = self._folder / f"file{file.address.suffix[:16]}"
        digest = self.store(file).download(file, to, tell)
        try:
            yield to, digest
        finally:
            to.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._owner.close()


def _clear(root: Path) -> None:
    """Delete the spools whose process is gone."""
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            owner = os.open(folder / _OWNER, os.O_RDWR)
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(owner)
