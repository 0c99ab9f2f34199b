"""Files of a dataset's folder, of this machine or of a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath

from keras_ddl.data.layouts.index import dataset_folder
from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.store import Store, StoredFile


@dataclass(frozen=True)
class DatasetFile:
    """A file of a dataset.

    Attributes:
        inner: Its path below the folder that was asked for.
        path: Where it is.
        stored: The facts of a file in a store.
    """

    inner: PurePosixPath
    path: Path | Address
    stored: StoredFile | None = None


class DatasetFiles:
    """A dataset's folder.

    Args:
        root: The folder, or its address.

    Raises:
        UserError: There is no such folder, or its store does not answer.
    """

    def __init__(self, root: Path | Address) -> None:
        self.root = root if isinstance(root, Address) else dataset_folder(root)
        if isinstance(root, Address) and not self._stored:
            raise UserError(f"expected a dataset folder, received {root}, below which is no file")

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.root.name if isinstance(self.root, Address) else self.root.resolve().name

    def folders(self) -> list[str]:
        """Names of the folders in it, sorted."""
        if isinstance(self.root, Address):
            return sorted({inner.parts[0] for inner in self._stored if len(inner.parts) > 1})
        return sorted(path.name for path in self.root.iterdir() if path.is_dir())

    def below(self, name: str = "") -> list[DatasetFile]:
        """Files in a folder of it and below, sorted; those whose names begin with a point are
        left out."""
        if isinstance(self.root, Address):
            start = PurePosixPath(name)
            found = [
                DatasetFile(inner.relative_to(start), stored.address, stored)
                for inner, stored in self._stored.items()
                if inner.is_relative_to(start)
            ]
        else:
            base = self.root / name
            found = [
                DatasetFile(PurePosixPath(path.relative_to(base)), path)
                for path in base.rglob("*")
                if path.is_file()
            ]
        seen = (file for file in found if not file.inner.name.startswith("."))
        return sorted(seen, key=lambda file: file.inner)

    @cached_property
    def _stored(self) -> dict[PurePosixPath, StoredFile]:
        root = Address(self.root)
        start = len(root.rstrip("/")) + 1
        files = Store(root).below(root)
        return {PurePosixPath(file.address[start:]): file for file in files}


def listed(videos: Sequence[Video], table: Path | Address) -> list[Video]:
    """Give videos at addresses the facts that their stores have of them.

    What lies below the folder of a table in a store is listed; others are looked at one by one.
    """
    found: dict[str, StoredFile | None] = {}
    if isinstance(table, Address):
        folder = Address(table.rpartition("/")[0])
        found = {str(file.address): file for file in Store(folder).below(folder)}
    stores: dict[str, Store] = {}
    known = []
    for video in videos:
        if isinstance(place := video.path, Address):
            if str(place) not in found:
                store = stores.setdefault(place.scheme, Store(place))
                found[str(place)] = store.look(place)
            video = replace(video, stored=found[str(place)])
        known.append(video)
    return known
