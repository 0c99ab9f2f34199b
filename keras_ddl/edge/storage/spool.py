"""Spool of a process: files that were fetched to be read, each gone when it has been."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_ddl.edge.storage.store import Store, StoredFile

PREFIX = "keras-ddl-spool-"
_OWNER, _PENDING = ".owner", ".pending"


class Spool:
    """A place for files that are fetched to be read.

    Args:
        root: Folder that it is in; "" is the system's for temporary files. What killed processes
            left there is deleted.
    """

    def __init__(self, root: str = "") -> None:
        self._root = Path(root or tempfile.gettempdir())
        self._root.mkdir(parents=True, exist_ok=True)
        self._stores: dict[str, Store] = {}
        _clear(self._root)

    @contextmanager
    def fetched(
        self, file: StoredFile, tell: Callable[[float], None] = lambda share: None
    ) -> Iterator[tuple[Path, str]]:
        """Yield where a file was fetched to and its SHA-256; it is deleted behind the block.

        Args:
            file: As it was listed.
            tell: Gets the share that is fetched, in [0, 1].

        Raises:
            UserError: As `Store.download`.
            OSError: No room.
        """
        scheme = file.address.scheme
        if scheme not in self._stores:
            self._stores[scheme] = Store(file.address)
        with _owned_folder(self._root) as folder:
            to = folder / f"file{file.address.suffix[:16]}"
            digest = self._stores[scheme].download(file, to, tell)
            yield to, digest


@contextmanager
def _owned_folder(root: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    try:
        with (folder / _PENDING).open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)  # before it has the name that others look for
            (folder / _PENDING).rename(folder / _OWNER)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
