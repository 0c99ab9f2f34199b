"""Folder of an event while it fills, and what a killed run leaves of it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from deploy.evidence.line import MANIFEST, Line, line_bytes
from deploy.evidence.signing import SigningKey
from keras_ddl.edge.files import file_sha256, write_durably

DRAFT = ".draft.json"
OWNER = ".owner"


class Partial:
    """A folder being filled, under a name that says so; its owner holds a lock while it lives.

    Files are hashed as they are written, not when the folder is finished: what somebody else
    changes or adds in between is then found later, and never signed.
    """

    def __init__(self, path: Path, key: SigningKey | None = None) -> None:
        import fcntl

        self.path = path
        self._key = key
        self._draft: dict[str, Any] = {}
        self._all: dict[str, list[dict[str, Any]]] = {}  # every state of a file, the newest last
        path.mkdir()
        self._owner: IO[str] = (path / OWNER).open("w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """SHA-256 and size of every file, by name."""
        return {name: states[-1] for name, states in sorted(self._all.items())}

    def write(self, name: str, data: bytes) -> None:
        """Write a file and have it reach the disk."""
        facts = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        self._all.setdefault(name, []).append(facts)
        if self._draft:  # a crash right after the next line leaves a file that the draft knows
            self.draft(self._draft)
        write_durably(self.path / name, data)

    def adopt(self, name: str) -> None:
        """Take in a file that somebody else wrote, and wait until it has reached the disk."""
        path = self.path / name
        with path.open("rb") as file:
            os.fsync(file.fileno())
        facts = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
        self._all.setdefault(name, []).append(facts)
        if self._draft:
            self.draft(self._draft)

    def draft(self, manifest: Mapping[str, Any]) -> None:
        """Keep what is known by now: after a crash the next start finishes the folder with it."""
        self._draft = dict(manifest)
        record = {"manifest": self._draft, "folder": self.path.name, "states": self._all}
        write_durably(self.path / DRAFT, line_bytes(record, self._key))

    def release(self) -> None:
        """Let go of the lock."""
        self._owner.close()

    def discard(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


@dataclass(frozen=True)
class Draft:
    """What is known of an event whose process is gone.

    Attributes:
        manifest: As far as it was known.
        folder: Where it lies.
    """

    manifest: dict[str, Any]
    folder: Path
    _line: Line

    @classmethod
    def read(cls, folder: Path) -> Draft | None:
        """Read the draft of a folder; None where it was not written yet, or is not whole."""
        try:
            line = Line.parse((folder / DRAFT).read_bytes().removesuffix(b"\n"))
        except OSError:
            return None
        manifest = line.record.get("manifest", line.record)  # early versions had nothing around it
        whole = isinstance(manifest, dict) and "event" in manifest
        return cls(dict(manifest), folder, line) if whole else None

    def signed_by(self, key: str) -> bool:
        """Whether the holder of `key` wrote it for this very folder."""
        return self._line.text("folder") == self.folder.name and self._line.signed_by(key)

    def files(self, only_known: bool) -> dict[str, dict[str, Any]]:
        """SHA-256 and size of the folder's files, by name.

        Args:
            only_known: Leave out those that are not as the draft knows them; whoever verifies
                finds them as added.
        """
        known = self._line.record.get("states")
        known = known if isinstance(known, dict) else {}
        files = {}
        for path in sorted(self.folder.iterdir()):
            hidden = path.name.startswith(".") or path.name == MANIFEST
            if hidden or path.is_symlink() or not path.is_file():
                continue
            facts = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
            states = known.get(path.name)
            if not only_known or (isinstance(states, list) and facts in states):
                files[path.name] = facts
        return files


def is_owned(partial: Path) -> bool:
    """Whether the process that fills the folder lives."""
    import fcntl

    try:
        with (partial / OWNER).open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no such file, or a copy that cannot be written to
        return False
    return False
