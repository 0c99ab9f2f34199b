"""Store of evidence: event folders appear whole, in a chain, within a quota."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from deploy.evidence.chain import Chain, Entry, utc
from deploy.evidence.line import CHAIN, MANIFEST, PARTIAL, STAMP, STAMPS
from deploy.evidence.partial import OWNER, Draft, Partial, is_owned
from deploy.evidence.signing import ALGORITHM, SigningKey
from keras_ddl.edge.errors import USAGE, UserError, output_code
from keras_ddl.edge.files import PART, sync_folder, write_durably

MAX_BYTES = 10 << 30

log = logging.getLogger(__name__)


class EvidenceStore:
    """The root of one evidence chain.

    Args:
        root: Its folder; made where it is missing.
        max_bytes: What the folders may take together; the oldest go, the newest one never does.
        keep_days: How long a folder is kept; None = until the bytes run out.
        key: File of the key that signs; made by `open` where it is missing. None = nothing is
            signed.
    """

    def __init__(
        self,
        root: Path | str,
        max_bytes: int = MAX_BYTES,
        keep_days: float | None = None,
        key: Path | None = None,
    ) -> None:
        if max_bytes < 1 or (keep_days is not None and not keep_days > 0):
            raise ValueError(
                f"expected max_bytes >= 1, keep_days above 0, received {max_bytes}, {keep_days}"
            )
        self.root = Path(root)
        self._max_bytes = max_bytes
        self._days = keep_days
        self._key_path = key
        self._key: SigningKey | None = None
        self._chain = self._new_chain()

    def _new_chain(self) -> Chain:
        limits = {"max_bytes": self._max_bytes, "keep_days": self._days}
        return Chain(self.root, limits, self._key)

    def open(self) -> None:
        """Make the root and the key, finish or clear what a killed run left, keep to the quota.

        Raises:
            UserError: the root is something else, or cannot be written to; the key cannot be
                read, or is not the one that signs this chain (2); a signed chain was changed (4).
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            visible = [path for path in self.root.iterdir() if not path.name.startswith(".")]
            partial = all(path.name.endswith(PARTIAL) for path in visible)
            if not partial and not (self.root / CHAIN).is_file():
                message = f"expected an evidence folder or an empty one, received '{self.root}'"
                raise UserError(f"{message} with other files in it; name another", USAGE)
            if self._key_path is not None and self._key is None:
                self._key = self._open_key(self._key_path)
                self._chain = self._new_chain()
            with self._chain.held():
                self._chain.check_signatures()
                self._recover()
        except OSError as error:
            message = f"expected a folder to keep evidence in, received '{self.root}'"
            raise UserError(f"{message}: {error.strerror or error}", output_code(error)) from error
        self.tidy()

    def _open_key(self, path: Path) -> SigningKey:
        if self.root.resolve() in path.resolve().parents:
            message = f"expected a signing key outside the evidence folder, received '{path}'"
            raise UserError(f"{message}: who copies the folder would have it; name another", USAGE)
        try:
            return SigningKey.open(path)
        except OSError as error:
            message = f"expected a signing key, or room for one, at '{path}'"
            raise UserError(f"{message}: {error.strerror or error}; name another", USAGE) from error

    def begin(self, folder: str) -> Partial:
        """Begin the folder of an event; it gets its name when it is finished."""
        with self._chain.held():
            return Partial(self.root / f"{folder}{PARTIAL}", self._key)

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
            draft: The manifest without what is known at its end alone: `files`, `written`, and
                its place in the chain.

        Returns:
            The folder.
        """
        with self._chain.held():
            done = self._finish(partial.path, draft, partial.files)
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
                elif self._days and _is_past(entry.written, self._days):
                    reason = "keep_days"
                if not reason:
                    return
                self._chain.drop(entry, reason)
                shutil.rmtree(self.root / entry.folder, ignore_errors=True)
                total -= entry.bytes

    def stamp(self, ask: Callable[[bytes], tuple[bytes, datetime]]) -> None:
        """Have the newest head stamped, unless it is; the chain is held for its ends alone.

        Args:
            ask: Gets a stamp for the bytes of a line; returns it and the time that it names.

        Raises:
            UserError, OSError: there is no stamp, or it cannot be written.
        """
        with self._chain.held():
            line = self._chain.unstamped
        if line is None:
            return
        stamp, at = ask(line.raw)
        folder = self.root / STAMPS
        with self._chain.held():
            folder.mkdir(exist_ok=True)
            write_durably(folder / f"{line.digest}{STAMP}", stamp)
            digest = hashlib.sha256(stamp).hexdigest()
            self._chain.stamped(line.digest, digest, at.isoformat(timespec="seconds"))

    def _finish(
        self, partial: Path, draft: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]
    ) -> Path:
        written = utc()
        sequence = self._chain.sequence + 1
        name = self._chain.declare()
        signing = {"algorithm": ALGORITHM, "public_key": self._chain.key}
        manifest = {
            **draft,
            "written": written,
            "chain": name,
            "signing": signing if self._chain.key else None,
            "sequence": sequence,
            "previous": self._chain.newest,
            "chain_head": self._chain.head,
            "files": dict(files),
        }
        data = _encoded(manifest)
        write_durably(partial / MANIFEST, data)
        folder = partial.name.removesuffix(PARTIAL)
        digest = hashlib.sha256(data).hexdigest()
        size = len(data) + sum(facts["bytes"] for facts in files.values())
        self._chain.add(Entry(folder, str(draft["event"]), sequence, digest, size, written))
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
        for part in (self.root / STAMPS).glob(f".*{PART}"):
            part.unlink()
        for partial in sorted(self.root.glob(f"*{PARTIAL}")):
            if is_owned(partial):
                continue
            folder = partial.name.removesuffix(PARTIAL)
            if (self.root / folder).exists() or folder in self._chain.dropped:
                log.warning("%s: its event was finished long ago, left as it is", partial.name)
            elif folder in self._chain.standing:  # killed between the chain and the name
                self._name(partial)
            else:
                self._recover_draft(partial)

    def _recover_draft(self, partial: Path) -> None:
        """Finish a folder that no line names with what its draft knows of; clear one without."""
        draft = Draft.read(partial)
        if draft is None and (self._key is None or not any(partial.glob("[!.]*"))):
            log.warning("%s: cut short before anything was kept, cleared", partial.name)
            shutil.rmtree(partial)
        elif draft is None or (self._key is not None and not draft.signed_by(self._chain.key)):
            # Whoever can write here could leave a folder of his own for us to sign.
            log.warning("%s: its draft is not signed with our key, left as it is", partial.name)
        else:
            files = draft.files(only_known=self._key is not None)
            done = self._finish(partial, {**draft.manifest, "interrupted": True}, files)
            log.warning("%s: cut short, finished with what there was", done.name)


def _is_past(written: str, days: float) -> bool:
    return datetime.fromisoformat(written) < datetime.now(timezone.utc) - timedelta(days=days)


def _encoded(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
