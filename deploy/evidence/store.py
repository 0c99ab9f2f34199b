"""Store of evidence: event folders appear whole, in a chain, within a quota."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

from deploy.evidence.chain import CHAIN, Chain, Entry
from keras_ddl.edge.errors import USAGE, UserError, output_code
from keras_ddl.edge.files import file_sha256, sync_folder, write_durably

MANIFEST = "manifest.json"
DRAFT = ".draft.json"
OWNER = ".owner"
PARTIAL = ".partial"
MAX_BYTES = 10 << 30

log = logging.getLogger(__name__)


class Partial:
    """A folder being filled, under a name that says so; its owner holds a lock while it lives."""

    def __init__(self, path: Path) -> None:
        import fcntl

        self.path = path
        path.mkdir()
        self._owner: IO[str] = (path / OWNER).open("w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)

    def write(self, name: str, data: bytes) -> None:
        """Write a file and have it reach the disk."""
        write_durably(self.path / name, data)

    def draft(self, manifest: Mapping[str, Any]) -> None:
        """Keep what is known by now: after a crash the next start finishes the folder with it."""
        self.write(DRAFT, _encoded(manifest))

    def release(self) -> None:
        """Let go of the lock."""
        self._owner.close()

    def discard(self) -> None:
        """Take the folder away."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


class EvidenceStore:
    """The root of one evidence chain.

    Args:
        root: Its folder; made where it is missing.
        max_bytes: What the folders may take together; the oldest go, the newest one never does.
        keep_days: How long a folder is kept; None = until the bytes run out.
    """

    def __init__(
        self, root: Path | str, max_bytes: int = MAX_BYTES, keep_days: float | None = None
    ) -> None:
        if max_bytes < 1 or (keep_days is not None and not keep_days > 0):
            raise ValueError(
                f"expected max_bytes >= 1, keep_days above 0, received {max_bytes}, {keep_days}"
            )
        self.root = Path(root)
        self._max_bytes = max_bytes
        self._keep = None if keep_days is None else timedelta(days=keep_days)
        self._chain = Chain(self.root)

    def open(self) -> None:
        """Make the root, finish or clear what a killed run left there, and keep to the quota.

        Raises:
            UserError: the root is something else, or cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            visible = [path for path in self.root.iterdir() if not path.name.startswith(".")]
            partial = all(path.name.endswith(PARTIAL) for path in visible)
            if not partial and not (self.root / CHAIN).is_file():
                message = f"expected an evidence folder or an empty one, received '{self.root}'"
                raise UserError(f"{message} with other files in it; name another", USAGE)
            with self._chain.held():
                self._recover()
        except OSError as error:
            message = f"expected a folder to keep evidence in, received '{self.root}'"
            raise UserError(f"{message}: {error.strerror or error}", output_code(error)) from error
        self.tidy()

    def begin(self, folder: str) -> Partial:
        """Begin the folder of an event; it gets its name when it is finished."""
        with self._chain.held():
            return Partial(self.root / f"{folder}{PARTIAL}")

    def knows(self, folder: str) -> bool:
        """Whether an event of this name was finished here; waits for one that is being filled."""
        import fcntl

        with (
            suppress(FileNotFoundError),
            (self.root / f"{folder}{PARTIAL}" / OWNER).open() as owner,
        ):
            fcntl.flock(owner, fcntl.LOCK_SH)
        with self._chain.held():
            self._recover()
            return folder in self._chain.standing or folder in self._chain.dropped

    def finish(self, partial: Partial, draft: Mapping[str, Any]) -> Path:
        """Write the manifest, append to the chain, and give the folder its name.

        Args:
            partial: What `begin` gave.
            draft: The manifest without `files`, `sequence`, `previous`, `chain_head`, `written`.

        Returns:
            The folder.
        """
        with self._chain.held():
            done = self._finish(partial.path, draft)
        partial.release()
        self.tidy()
        return done

    def tidy(self) -> None:
        """Let the oldest folders go as the quota says; each is recorded before it is deleted."""
        with self._chain.held():
            standing = list(self._chain.standing.values())
            total = sum(entry.bytes for entry in standing)
            for entry in standing:
                reason = ""
                if total > self._max_bytes and entry is not standing[-1]:
                    reason = "max_bytes"
                elif self._keep and datetime.fromisoformat(entry.written) < _utc() - self._keep:
                    reason = "keep_days"
                if not reason:
                    return
                self._chain.drop(entry, reason, _utc().isoformat(timespec="milliseconds"))
                shutil.rmtree(self.root / entry.folder, ignore_errors=True)
                total -= entry.bytes

    def _finish(self, partial: Path, draft: Mapping[str, Any]) -> Path:
        shown = sorted(path for path in partial.iterdir() if not path.name.startswith("."))
        paths = [path for path in shown if path.name != MANIFEST]
        files = {p.name: {"sha256": file_sha256(p), "bytes": p.stat().st_size} for p in paths}
        size = sum(path.stat().st_size for path in paths)
        written = _utc().isoformat(timespec="milliseconds")
        sequence = self._chain.sequence + 1
        manifest = {
            **draft,
            "written": written,
            "sequence": sequence,
            "previous": self._chain.newest,
            "chain_head": self._chain.head,
            "files": files,
        }
        data = _encoded(manifest)
        write_durably(partial / MANIFEST, data)
        folder = partial.name.removesuffix(PARTIAL)
        digest = hashlib.sha256(data).hexdigest()
        self._chain.add(
            Entry(folder, str(draft["event"]), sequence, digest, size + len(data), written)
        )
        return self._name(partial)

    def _name(self, partial: Path) -> Path:
        """Give a folder that is in the chain its name."""
        for hidden in partial.glob(".*"):
            hidden.unlink()
        sync_folder(partial)
        done = partial.with_name(partial.name.removesuffix(PARTIAL))
        partial.rename(done)
        sync_folder(self.root)
        return done

    def _recover(self) -> None:
        """Finish or clear the partial folders of processes that are gone."""
        for folder in self._chain.dropped:
            shutil.rmtree(self.root / folder, ignore_errors=True)
        for partial in sorted(self.root.glob(f"*{PARTIAL}")):
            if _owned(partial):
                continue
            entry = self._chain.standing.get(partial.name.removesuffix(PARTIAL))
            if entry is not None:  # killed between the chain and the name
                self._name(partial)
                continue
            draft = _read_draft(partial)
            if draft is None:
                log.warning("%s: cut short before anything was kept, cleared", partial.name)
                shutil.rmtree(partial)
                continue
            done = self._finish(partial, {**draft, "interrupted": True})
            log.warning("%s: cut short, finished with what there was", done.name)


def sync_file(path: Path) -> None:
    """Wait until a file that somebody else wrote has reached the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _owned(partial: Path) -> bool:
    """Whether the process that fills the folder lives."""
    import fcntl

    try:
        with (partial / OWNER).open("r+") as owner:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _read_draft(partial: Path) -> dict[str, Any] | None:
    try:
        draft = json.loads((partial / DRAFT).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # not written yet, or not whole: there is nothing to finish
        return None
    return draft if isinstance(draft, dict) else None


def _encoded(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _utc() -> datetime:
    return datetime.now(timezone.utc)
