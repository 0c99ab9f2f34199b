"""Where a prepared folder is written, and how it takes its place once it is whole."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

from keras_ddl.data.prepared import INDEX, REPORTS, SPEC, SUMMARY, read_summary
from keras_ddl.data.video_index import SPLITS
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import PART, read_json, write_json
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.claim import CLAIM, Claim
from keras_ddl.edge.storage.folder import Folder, LocalFolder, StoredFolder
from keras_ddl.edge.storage.store import Store

PARTS = "parts"
RULES = "rules.json"
KIND = 2  # of what lies in an unfinished folder
_SHARD = re.compile(rf"({'|'.join(SPLITS)})/(clips-\w+\.tfrecord|\..*{re.escape(PART)})")
_OURS = re.compile(
    rf"{_SHARD.pattern}|({'|'.join(SPLITS)})/{INDEX}|{PARTS}/\w+\.json|"
    + "|".join(map(re.escape, (SPEC, SUMMARY, CLAIM, *REPORTS)))
)
"""Names of the files of a prepared set, whole or not."""


class Target(AbstractContextManager["Target"], ABC):
    """A prepared folder that is being written; `with` holds a lock on it.

    Attributes:
        folder: Where its files are written, also by workers.

    Raises:
        UserError: On entering it, where something else is there or another process writes it.
    """

    folder: Folder

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock

    def __enter__(self) -> Target:
        self._lock.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._lock.__exit__(None, None, None)

    @abstractmethod
    def publish(self, wanted: set[str], summary: bytes) -> None:
        """Let the folder be whole from here on.

        Args:
            wanted: Names of the files that belong to it; others of its kind are deleted.
            summary: What `prepared.json` holds; it is written last of all.
        """


class LocalTarget(Target):
    """A folder of this machine: written beside its place, and renamed."""

    def __init__(self, out: Path, rules: str) -> None:
        super().__init__(_FileLock(out))
        self._path, self._rules = out, [KIND, rules]
        self._partial = out.with_name(f".{out.name}.partial")
        self.folder = LocalFolder(self._partial)

    def __enter__(self) -> Target:
        """Lock it; throw away what was left unfinished under other rules."""
        if self._path.exists():
            read_summary(self._path)  # refuses to replace a folder of anything else
        self._path.parent.mkdir(parents=True, exist_ok=True)
        super().__enter__()
        mark = self._partial / PARTS / RULES
        if not mark.is_file() or read_json(mark) != self._rules:
            shutil.rmtree(self._partial, ignore_errors=True)
            for name in (PARTS, *SPLITS):
                (self._partial / name).mkdir(parents=True)
            write_json(mark, self._rules)
        return self

    def publish(self, wanted: set[str], summary: bytes) -> None:
        """As of `Target`."""
        self.folder.write(SUMMARY, summary)
        if self._path.exists():
            shutil.rmtree(self._path)
        self._partial.rename(self._path)
        tidy(LocalFolder(self._path), wanted)


class StoredTarget(Target):
    """A folder of a store, which cannot be renamed: what `prepared.json` does not name is not in
    it, and that is deleted first and written last.
    """

    def __init__(self, out: Address) -> None:
        super().__init__(Claim(out))
        self._address = out
        self.folder = StoredFolder(out)

    def __enter__(self) -> Target:
        """Lock it; refuse a folder of anything else."""
        Store(self._address).check_writable(self._address)
        if self.folder.read(SUMMARY) is None:
            others = [name for name in self.folder.sizes() if not _OURS.fullmatch(name)]
            if others:
                raise UserError(
                    f"{self._address}: expected nothing there, or a folder of prepared clips, "
                    f"received {others[0]} in it; name another place"
                )
        return super().__enter__()

    def publish(self, wanted: set[str], summary: bytes) -> None:
        """As of `Target`."""
        self.folder.write(SUMMARY, summary)
        tidy(self.folder, wanted)


def target_at(out: Path | Address, rules: str) -> Target:
    """Return the target at a path or an address.

    Args:
        out: Where the prepared folder shall be.
        rules: Digest of what decides the clips of every video.
    """
    return StoredTarget(out) if isinstance(out, Address) else LocalTarget(Path(out), rules)


def tidy(folder: Folder, wanted: set[str]) -> None:
    """Delete what preparing has left in a finished folder: shards in no index, notes, a claim."""
    for split in SPLITS:
        for name in folder.sizes(split).keys() - wanted:
            if _SHARD.fullmatch(name):
                folder.remove(name)
    folder.remove_below(PARTS)
    folder.remove(CLAIM)  # of a command that was killed; nothing is written any more


class _FileLock(AbstractContextManager["_FileLock"]):
    """A lock on a folder of this machine, by a file beside it."""

    def __init__(self, out: Path) -> None:
        self._out, self._path = out, out.with_name(f".{out.name}.lock")
        self._file: IO[str] | None = None

    def __enter__(self) -> _FileLock:
        self._file = self._path.open("w")
        if not _locked(self._file):
            self._file.close()
            raise UserError(f"another process is preparing {self._out}; wait for it")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._path.unlink(missing_ok=True)
            self._file.close()


def _locked(file: IO[str]) -> bool:
    """Lock a file; false where another process has it, or has just unlinked it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(file.fileno()), os.stat(file.name))
    except OSError:
        return False
