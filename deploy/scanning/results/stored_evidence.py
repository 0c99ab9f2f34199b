"""Evidence of a scanned file in an object store: a chain for each file, put there whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deploy.evidence.line import CHAIN
from keras_ddl.edge.storage.address import Address, location
from keras_ddl.edge.storage.spool import owned_folder
from keras_ddl.edge.storage.store import Store


@contextmanager
def evidence_root(place: str, name: str) -> Iterator[str]:
    """Yield the root of a file's evidence.

    A store cannot append to a chain that others append to as well. There each file has a root of
    its own: filled in a folder of this machine, put when the block is done, the chain last.

    Args:
        place: Folder or address that was named for evidence; "" for none.
        name: Of the file's results.

    Raises:
        UserError: The store does not take it.
    """
    where = location(place) if place else None
    if not isinstance(where, Address):
        yield place
        return
    with owned_folder() as folder:
        root = folder / "evidence"
        yield str(root)
        files = [path for path in root.rglob("[!.]*") if path.is_file()]
        if any(path.parent != root for path in files):  # there was an event
            store = Store(where)
            for path in sorted(files, key=lambda path: path == root / CHAIN):
                store.upload(path, where / name / path.relative_to(root).as_posix())
