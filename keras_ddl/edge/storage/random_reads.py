"""Pieces of large files read at random, of this machine or of a store."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.file_cache import FileCache
from keras_ddl.edge.storage.store import Store

MOST_OPEN = 256  # files; a process may have 1024 by default
_refused: deque[UserError] = deque(maxlen=1)


def noted(error: UserError) -> UserError:
    """Return an error, known to `refusals_told` from here on."""
    _refused.append(error)
    return error


@contextmanager
def refusals_told() -> Iterator[None]:
    """Raise what a read was refused with, where the library that asked made an error of its own."""
    _refused.clear()
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or not _refused:
            raise
        raise _refused.pop() from error


class RandomReads:
    """Reader of pieces of the files of a folder; threads may share it.

    Args:
        place: The folder.
        files: Of a store: bytes and SHA-256 of each file, by name.
        cache: Of a store: where whole files are kept; None reads each piece from the store. So is
            what the cache has no room for.
    """

    def __init__(
        self,
        place: Path | Address,
        files: Mapping[str, tuple[int, str]] | None = None,
        cache: FileCache | None = None,
    ) -> None:
        self.place = place
        self._files, self._cache = files or {}, cache
        self._store = Store(place) if isinstance(place, Address) else None
        self._open: OrderedDict[str, _OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, name: str, offset: int, length: int) -> bytes:
        """Return a piece of a file; fewer bytes where the file ends early.

        Raises:
            UserError: The file is not there, or is not what it is to be.
        """
        try:
            file = self._opened(name)
            if file is not None:
                return os.pread(file.number, length, offset)
            if self._store is None:  # what is here has been opened
                raise UserError(f"{self.place}/{name} is missing", MISSING)
            return self._store.read_range(Address(self.place) / name, offset, length)
        except UserError as error:  # without its trace, which such a library would print
            raise noted(error).with_traceback(None) from None

    def _opened(self, name: str) -> _OpenFile | None:
        """The file, kept open with others; None where it is to be read in its store."""
        with self._lock:
            if (file := self._open.get(name)) is not None:
                self._open.move_to_end(name)
                return file
        path = self._path(name)
        if path is None:
            return None
        try:
            file = _OpenFile(path)
        except OSError as error:
            raise UserError(
                f"{path} is missing ({error.strerror}); prepare the videos again", MISSING
            ) from error
        with self._lock:
            self._open[name] = file
            while len(self._open) > MOST_OPEN:  # closed once nobody is reading it any more
                self._open.popitem(last=False)
        return file

    def _path(self, name: str) -> Path | None:
        if not isinstance(self.place, Address):
            return self.place / name
        if self._cache is None or self._store is None:
            return None
        return self._cache.fetched(self._store, self.place / name, *self._files[name])


class _OpenFile:
    """A file that is open for as long as this object lives."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if "number" in self.__dict__:
            os.close(self.number)
