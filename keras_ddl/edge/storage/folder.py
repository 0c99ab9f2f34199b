"""A folder of files, on this machine or in a store, with the few operations that both have."""

from __future__ import annotations

import errno
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO

from keras_ddl.edge.files import atomic_write, sync_folder
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.spool import owned_folder
from keras_ddl.edge.storage.store import Store


class Folder(ABC):
    """A folder; names of its files are relative, with "/" between their parts."""

    @abstractmethod
    def where(self, name: str) -> Path | Address:
        """Return where a file is."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """Return what a file holds; None where it is not there."""

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file whole or not at all, and so that it stays."""

    @abstractmethod
    def put(self, name: str, file: Path) -> None:
        """Write a file with what another one of this machine holds, as `write` does."""

    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[Path]:
        """Return a context with a path of this machine to write a file to, which is then whole."""

    @abstractmethod
    def sizes(self, below: str = "") -> dict[str, int]:
        """Return the bytes of every file in a folder of it and below, by name."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is no error."""

    @abstractmethod
    def remove_below(self, name: str) -> None:
        """Delete a folder of it with all that is in it; one that is not there is no error."""


class LocalFolder(Folder):
    """A folder of this machine, or of a file system that it shares with others."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def where(self, name: str) -> Path:
        """As of `Folder`."""
        return self._path / name

    def read(self, name: str) -> bytes | None:
        """As of `Folder`."""
        try:
            return self.where(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    def write(self, name: str, content: bytes) -> None:
        """As of `Folder`.

        Raises:
            OSError: With the file's name; `ENOSPC` also where a file may not become so large.
        """
        with self._written(name) as file:
            file.write(content)

    def put(self, name: str, file: Path) -> None:
        """As of `Folder`; raises as `write`."""
        with file.open("rb") as source, self._written(name) as target:
            shutil.copyfileobj(source, target, 1 << 20)

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """As of `Folder`; its folder is there."""
        return atomic_write(self.where(name))

    @contextmanager
    def _written(self, name: str) -> Iterator[IO[bytes]]:
        path = self.where(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            sync_folder(path.parent)
        except OSError as error:
            code = errno.ENOSPC if error.errno in (errno.EFBIG, None) else error.errno
            raise OSError(code, os.strerror(code), str(path)) from error

    def sizes(self, below: str = "") -> dict[str, int]:
        """As of `Folder`."""
        found = (path for path in self.where(below).rglob("*") if path.is_file())
        return {path.relative_to(self._path).as_posix(): path.stat().st_size for path in found}

    def remove(self, name: str) -> None:
        """As of `Folder`."""
        self.where(name).unlink(missing_ok=True)

    def remove_below(self, name: str) -> None:
        """As of `Folder`."""
        shutil.rmtree(self.where(name), ignore_errors=True)


class StoredFolder(Folder):
    """A folder of a store.

    Raises:
        UserError: From each method, what its store raises, in a line.
    """

    def __init__(self, address: Address) -> None:
        self._address, self._store = address, Store(address)

    def where(self, name: str) -> Address:
        """As of `Folder`."""
        return self._address / name if name else self._address

    def read(self, name: str) -> bytes | None:
        """As of `Folder`."""
        return self._store.read(self.where(name))

    def write(self, name: str, content: bytes) -> None:
        """As of `Folder`."""
        self._store.write(self.where(name), content)

    def put(self, name: str, file: Path) -> None:
        """As of `Folder`."""
        self._store.upload(file, self.where(name))

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """As of `Folder`."""
        with owned_folder() as aside:
            yield aside / "file"
            self.put(name, aside / "file")

    def sizes(self, below: str = "") -> dict[str, int]:
        """As of `Folder`."""
        start = len(f"{self.where('').rstrip('/')}/")
        files = self._store.below(self.where(below), missing=True)  # a store has no empty folders
        return {file.address[start:]: file.size for file in files}

    def remove(self, name: str) -> None:
        """As of `Folder`."""
        self._store.remove(self.where(name))

    def remove_below(self, name: str) -> None:
        """As of `Folder`."""
        self._store.remove_below(self.where(name))


def open_folder(place: Path | Address) -> Folder:
    """Return the folder at a path or an address.

    Raises:
        UserError: What its store needs is not installed.
    """
    return StoredFolder(place) if isinstance(place, Address) else LocalFolder(Path(place))
