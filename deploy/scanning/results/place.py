"""Place of a scan's results: a folder of this machine, or one of an object store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from keras_ddl.edge.errors import UserError, output_code
from keras_ddl.edge.files import PART, atomic_write
from keras_ddl.edge.storage.address import Address, location
from keras_ddl.edge.storage.store import Store

RECORDS, THUMBS = "records", "thumbs"


class Results:
    """Files of results, each there whole or not at all.

    Args:
        place: The folder's path, or its address.
    """

    def __init__(self, place: str) -> None:
        self.place = location(place)
        self._store = Store(self.place) if isinstance(self.place, Address) else None

    def begin(self) -> None:
        """Make the folders; clear what killed processes left half written.

        Raises:
            UserError: They cannot be made.
        """
        if self._store is not None:  # objects need no folders, and are never half written
            self._store.check_writable(Address(self.place))
            return
        folder = Path(self.place)
        try:
            for name in (RECORDS, THUMBS):
                (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"expected a folder for results, received '{self.place}': {error.strerror}"
            raise UserError(f"{message}; name another --out", output_code(error)) from error
        for half_written in folder.glob(f"*/.*{PART}"):
            half_written.unlink(missing_ok=True)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yield a path to write a file to; it is a result when the block is done.

        Raises:
            UserError: The store does not take it.
            OSError: No room.
        """
        if self._store is None:
            with atomic_write(Path(self.place) / name) as partial:
                yield partial
            return
        folder = Path(tempfile.mkdtemp(prefix="keras-ddl-result-"))
        try:
            yield folder / "file"
            self._store.upload(folder / "file", Address(self.place) / name)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def read(self, name: str) -> bytes | None:
        """Return what a result holds; None where there is none."""
        if self._store is not None:
            return self._store.read(Address(self.place) / name)
        with suppress(OSError):
            return (Path(self.place) / name).read_bytes()
        return None
