"""Prepared sets in a store, for whatever reads prepared folders.

The small files are fetched to a folder of this machine; the shards are read in the store when they
are asked for, and kept beside it (`keras_ddl.edge.storage.file_cache`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from keras_ddl.data.prepared import ADDRESS, INDEX, SPEC, SUMMARY, check_sizes, read_summary
from keras_ddl.data.video_index import SPLITS
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError
from keras_ddl.edge.files import json_bytes, write_durably, write_json
from keras_ddl.edge.storage.address import Address, location
from keras_ddl.edge.storage.folder import Folder, open_folder

FETCHED = Path("data") / "fetched"
"""Where sets of stores are kept, below the folder that a command runs in; ignored by git."""


def prepared_here(place: Path | Address | str) -> Path:
    """Return the folder of a prepared set: its own, or one of a set in a store.

    Args:
        place: A folder or an address, also as the text of one.

    Raises:
        UserError: There is no prepared set at the address, a file of it is missing or is not what
            it is to be, or the store does not answer.
    """
    place = location(place) if type(place) is str else place
    if not isinstance(place, Address):
        return Path(place)
    folder, summary = open_folder(place), read_summary(place)
    for split in SPLITS:
        check_sizes(place, summary, split)
    digest = hashlib.sha256(str(place).rstrip("/").encode() + json_bytes(summary)).hexdigest()
    here = FETCHED / f"{place.name}-{digest[:16]}"
    if not (here / SUMMARY).is_file():
        for split in SPLITS:
            (here / split).mkdir(parents=True, exist_ok=True)
        for name in (SPEC, *(f"{split}/{INDEX}" for split in SPLITS)):
            write_durably(here / name, _fetched(folder, name, summary))
        write_json(here / SUMMARY, {**summary, ADDRESS: str(place)})
    return here


def _fetched(folder: Folder, name: str, summary: dict[str, Any]) -> bytes:
    """A small file of a set."""
    content = folder.read(name)
    if content is None:
        raise UserError(f"{folder.where(name)} is missing; prepare the videos again", MISSING)
    wanted = summary.get("indexes", {}).get(name.partition("/")[0])
    found = hashlib.sha256(content).hexdigest()
    if wanted not in (None, found):
        raise UserError(
            f"{folder.where(name)}: expected SHA-256 {wanted}, received {found}; "
            "prepare the videos again",
            CHECK_FAILED,
        )
    return content
