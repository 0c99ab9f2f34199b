"""Place of a scan's results: a folder of this machine, or one of an object store."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from keras_ddl.edge.errors import UserError, output_code
from keras_ddl.edge.files import PART
from keras_ddl.edge.storage.address import Address, location
from keras_ddl.edge.storage.folder import open_folder
from keras_ddl.edge.storage.spool import sweep
from keras_ddl.edge.storage.store import Store

RECORDS, THUMBS = "records", "thumbs"


class Results:
    """Files of results, each there whole or not at all.

    Args:
        place: The folder's path, or its address.
    """

    def __init__(self, place: str) -> None:
        self.place = location(place)
        self._folder = open_folder(self.place)

    def begin(self) -> None:
        """Make the folders; clear what killed processes left half written.

        Raises:
            UserError: They cannot be made, or nothing can be written there.
        """
        if isinstance(self.place, Address):  # objects need no folders, and are never half written
            Store(self.place).check_writable(self.place)
            sweep()  # what killed processes had written and not put
            return
        try:
            for name in (RECORDS, THUMBS):
                (self.place / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"expected a folder for results, received '{self.place}': {error.strerror}"
            raise UserError(f"{message}; name another --out", output_code(error)) from error
        for half_written in self.place.glob(f"*/.*{PART}"):
            half_written.unlink(missing_ok=True)

    def writing(self, name: str) -> AbstractContextManager[Path]:
        """Return a context with a path to write a file to; it is a result when that ends.

        Raises:
            UserError: The store does not take it.
            OSError: No room.
        """
        return self._folder.writing(name)

    def read(self, name: str) -> bytes | None:
        """Return what a result holds; None where there is none, or it may not be read."""
        try:
            return self._folder.read(name)
        except OSError:
            return None
