"""The files of evidence folders, by event; nothing else on the disk can be reached through it."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from deploy.evidence.line import MANIFEST, PARTIAL

LARGEST_MANIFEST = 4 << 20  # bytes
REFRESH_S = 1.0  # the folder is looked through at most this often
KINDS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".mp4": "video/mp4",
    ".json": "application/json",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Evidence:
    """A finished evidence folder, the names of its files, and when it was found."""

    folder: Path
    files: tuple[str, ...]
    revision: int


class EvidenceFiles:
    """Folders with a manifest under a root, and the files that lie in them.

    A path is never built from what a visitor sends: he names an event and a file, and both are
    looked up among those that were found. Links are no files.

    Args:
        root: Where the evidence folders are made; it may not exist yet. None has no evidence.
    """

    def __init__(self, root: Path | None) -> None:
        self._root = root
        self._lock = Lock()
        self._found: dict[str, Evidence] = {}  # by event
        self._known: dict[str, str] = {}  # folder name → its event, "" for one to leave alone
        self._looked = -REFRESH_S
        self._revision = 0

    def since(self, revision: int) -> tuple[int, dict[str, list[str]]]:
        """Look for new folders; returns the present revision, and files by event that are newer."""
        with self._lock:
            if self._root is not None and time.monotonic() - self._looked >= REFRESH_S:
                self._looked = time.monotonic()
                self._look(self._root)
            new = {
                event: list(found.files)
                for event, found in self._found.items()
                if found.revision > revision
            }
            return self._revision, new

    def path(self, event: str, name: str) -> tuple[Path, str] | None:
        """A file and its media type; None for anything that was not found in that folder."""
        self.since(0)
        with self._lock:
            found = self._found.get(event)
        if found is None or name not in found.files:
            return None
        path = found.folder / name
        if path.is_symlink() or not path.is_file():
            return None
        return path, KINDS[path.suffix]

    def _look(self, root: Path) -> None:
        try:
            with os.scandir(root) as entries:
                folders = {
                    entry.name
                    for entry in entries
                    if entry.is_dir(follow_symlinks=False) and not entry.name.endswith(PARTIAL)
                }
        except FileNotFoundError:
            folders = set()
        except OSError as error:
            log.warning("evidence in '%s' cannot be listed: %s", root, error.strerror)
            return
        for gone in self._known.keys() - folders:
            self._found.pop(self._known.pop(gone), None)
        for name in sorted(folders - self._known.keys()):
            if (root / name / MANIFEST).is_file():
                self._known[name] = self._take(root / name)

    def _take(self, folder: Path) -> str:
        """Enter a folder; returns its event, or "" when its manifest says none."""
        try:
            if (folder / MANIFEST).stat().st_size > LARGEST_MANIFEST:
                raise ValueError("its manifest is too large")
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            event = manifest["event"] if isinstance(manifest, dict) else None
            if not isinstance(event, str) or not event:
                raise ValueError("its manifest names no event")
            files = tuple(sorted(path.name for path in folder.iterdir() if _is_shown(path)))
        except (OSError, ValueError, KeyError) as error:
            log.warning("evidence folder '%s' is left out: %s", folder.name, error)
            return ""
        self._revision += 1
        self._found[event] = Evidence(folder, files, self._revision)
        return event


def _is_shown(path: Path) -> bool:
    return path.suffix in KINDS and path.is_file() and not path.is_symlink()
