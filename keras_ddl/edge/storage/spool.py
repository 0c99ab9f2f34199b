"""Folders for files of one process, each gone with what it was for, or swept after a kill."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.storage.store import Store, StoredFile

PREFIX = "keras-ddl-spool-"
_OWNER, _PENDING = ".owner", ".pending"


class Spool:
    """A place for files that are fetched to be read.

    Args:
        root: Folder that it is in; "" is the system's for temporary files. What killed processes
            left there is deleted.

    Raises:
        UserError: It cannot be made.
    """

    def __init__(self, root: str = "") -> None:
        self._root = Path(root or tempfile.gettempdir())
        self._stores: dict[str, Store] = {}
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"expected a folder to fetch files to, received '{self._root}'"
            told = f"{message}: {error.strerror}; name another --spool"
            raise UserError(told, MISSING) from error  # it concerns all files
        sweep(self._root)

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
        with owned_folder(self._root) as folder:
            to = folder / f"file{file.address.suffix[:16]}"
            digest = self._stores[scheme].download(file, to, tell)
            yield to, digest


@contextmanager
def owned_folder(root: Path | None = None) -> Iterator[Path]:
    """Yield a new folder below one, by itself the system's for temporary files, then delete it.

    For as long as it is this process', `sweep` leaves it alone.
    """
    root = root or Path(tempfile.gettempdir())
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    try:
        with (folder / _PENDING).open("w") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX)  # before it has the name that others look for
            (folder / _PENDING).rename(folder / _OWNER)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(root: Path | None = None) -> None:
    """Delete the folders of processes that are gone."""
    root = root or Path(tempfile.gettempdir())
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            owner = os.open(folder / _OWNER, os.O_RDWR)
            try:
                fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(owner)
