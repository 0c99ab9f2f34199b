"""Verification of evidence: hashes, chain, completeness, signatures; every problem is one line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from deploy.evidence.audit import Audit, Place
from deploy.evidence.line import CHAIN, MANIFEST, PARTIAL, STAMP, STAMPS
from deploy.evidence.manifest import Manifest
from deploy.evidence.noted_heads import NotedHeads
from deploy.evidence.partial import is_owned
from deploy.evidence.stamps import Authority, stamped_time
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.files import file_sha256

LOCK = ".lock"
CLOCKS_DIFFER = timedelta(minutes=5)  # between a device and an authority, and no more


@dataclass(frozen=True)
class Demands:
    """What somebody who verifies holds in his own hands; each one demands its level.

    Attributes:
        head: SHA-256 of a line, noted earlier; "" = none.
        key: Public key, 64 hex digits; "" = none.
        heads: The file of heads noted beside the signing key.
        authority: Whose time stamps are believed.
    """

    head: str = ""
    key: str = ""
    heads: Path | None = None
    authority: Authority | None = None


@dataclass
class Findings:
    """Result of a verification.

    Attributes:
        problems: One line each; none means that every level asked for is reached.
        notes: What could not be checked, or is no problem.
        folders: Event folders that are there, oldest first.
        audit: Walk along the chain; None where there is no chain.
        stamped: Number of the last line whose time is proved, 0 for none.
        stamped_at: That time.
        lag: The longest that an event waited for its stamp.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    audit: Audit | None = None
    stamped: int = 0
    stamped_at: datetime | None = None
    lag: timedelta = timedelta()

    @property
    def dropped(self) -> int:
        """Events that made room."""
        return len(self.audit.dropped) if self.audit else 0

    @property
    def head(self) -> str:
        """SHA-256 of the chain's last line, "" where there is no chain."""
        return self.audit.head if self.audit else ""


def verify(path: Path, demands: Demands | None = None) -> Findings:
    """Check a root with its chain, or one event's folder.

    Raises:
        UserError: it is neither (2), or a package is missing (3).
    """
    demands = demands or Demands()
    if (path / MANIFEST).is_file() or (path / MANIFEST).is_symlink():
        return _one(path, demands)
    if not path.is_dir() or not (path / CHAIN).exists():
        inside = sorted(path.glob(f"*/{MANIFEST}")) if path.is_dir() else []
        if not inside:
            received = "a folder with neither" if path.is_dir() else "no folder"
            message = f"{path}: expected {CHAIN} or {MANIFEST} in a folder, received {received}"
            raise UserError(f"{message}; name what --evidence was given", USAGE)
    return _Root(path, demands).check()


def _one(folder: Path, demands: Demands) -> Findings:
    """An event by itself; its place in the chain where the chain lies beside it."""
    root = folder.resolve().parent
    if (root / CHAIN).is_file():
        return _Root(root, demands).check(folder)
    found = Findings(folders=[folder], problems=check_files(folder))
    missing = f"{folder.name}: no {CHAIN} beside it, so its place"
    asked = demands != Demands()
    (found.problems if asked else found.notes).append(
        f"{missing}, signature and time are not checked" if asked else f"{missing} is not checked"
    )
    return found


def check_files(folder: Path) -> list[str]:
    """Compare the files of an event with its manifest."""
    try:
        manifest = Manifest.read(folder)
    except ValueError as error:
        return [str(error)]
    problems = []
    for name, stored in manifest.files.items():
        path = folder / name
        if "/" in name or "\\" in name or name in ("", ".", ".."):
            problems.append(f"{folder.name}: {name!r} in {MANIFEST} is no plain file name")
        elif path.is_symlink() or not path.is_file():
            problems.append(f"{folder.name}: {name} is missing")
        elif path.stat().st_size != stored.get("bytes"):
            size = path.stat().st_size
            problems.append(f"{folder.name}: {name} has {size} bytes, not what was written")
        elif file_sha256(path) != stored.get("sha256"):
            problems.append(f"{folder.name}: {name} was changed (SHA-256 differs)")
    for name in manifest.named_files():
        if name not in manifest.files:
            problems.append(f"{folder.name}: {name} belongs to it, {MANIFEST} has no hash of it")
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST and path.name not in manifest.files:
            problems.append(f"{folder.name}: {path.name} was added")
    return problems


class _Root:
    """Check of one root."""

    def __init__(self, root: Path, demands: Demands) -> None:
        self._root = root
        self._demands = demands
        self._found = Findings()
        self._looked_at: dict[str, Place] = {}
        chain = root / CHAIN
        plain = chain.is_file() and not chain.is_symlink()
        self._audit = Audit(chain.read_bytes() if plain else b"", demands.key)
        self._found.audit = self._audit
        if not plain:
            self._found.problems.append(f"{CHAIN} is missing")
        self._found.problems += self._audit.problems

    def check(self, only: Path | None = None) -> Findings:
        """Check every event and all that lies around, or one event."""
        if only is None:
            for folder, place in self._audit.standing.items():
                self._check_event(self._root / folder, place)
            self._look_around()
        else:
            own = self._audit.standing.get(only.resolve().name)
            if own is None:
                self._found.folders.append(only)
                self._found.problems += check_files(only)
                self._found.problems.append(
                    f"{only.name}: its {MANIFEST} is not the one in {CHAIN}"
                )
            else:
                self._check_event(only, own)
        self._check_stamps()
        self._check_end()
        self._note()
        return self._found

    def _check_event(self, path: Path, place: Place) -> None:
        problems, name = self._found.problems, path.name
        self._looked_at[name] = place
        if not path.is_dir() or path.is_symlink():
            unfinished = (self._root / f"{name}{PARTIAL}").is_dir()
            why = "not named yet, the next start does it" if unfinished else "removed"
            problems.append(f"{name}: the event is missing ({why})")
            return
        self._found.folders.append(path)
        problems += check_files(path)
        try:
            manifest = Manifest.read(path)
        except ValueError:  # said by check_files
            return
        problems += [f"{name}: {what}" for what in _misplaced(path, manifest, place)]

    def _look_around(self) -> None:
        for path in sorted(self._root.iterdir()):
            name, problems = path.name, self._found.problems
            if name in (CHAIN, *self._audit.standing):
                continue
            if name == LOCK and path.is_file() and not path.is_symlink():
                if path.stat().st_size:
                    problems.append(f"{name}: holds something, though it is but a lock")
            elif name == STAMPS and path.is_dir() and not path.is_symlink():
                problems += [
                    f"{STAMPS}/{stamp.name}: was added, it stamps no line of the chain"
                    for stamp in sorted(path.iterdir())
                    if stamp.suffix != STAMP or stamp.stem not in self._audit.heads
                ]
            elif name in self._audit.dropped:
                problems.append(f"{name}: was let go, yet is here")
            elif name.endswith(PARTIAL) and path.is_dir() and is_owned(path):
                self._found.notes.append(f"{name}: is being recorded")
            elif name.endswith(PARTIAL):
                killed = "a run was killed (the next one finishes it), or it was put there"
                problems.append(f"{name}: is unfinished, and nobody records it: {killed}")
            else:
                problems.append(f"{name}: was added, the chain does not know it")

    def _check_stamps(self) -> None:
        """Hold the stamps against the chain, and their times against those of the events."""
        audit, authority = self._audit, self._demands.authority
        for number, line in audit.stamps.items():
            path = self._root / STAMPS / f"{line.digest_of('head')}{STAMP}"
            if path.is_symlink() or not path.is_file():
                self._problem(f"{CHAIN}, line {number}: its time stamp is missing")
            elif file_sha256(path) != line.text("stamp_sha256"):
                self._problem(f"{STAMPS}/{path.name}: was changed (SHA-256 differs)")
        if authority is None:
            return
        times: dict[int, datetime] = {}
        for head, number in audit.heads.items():
            path = self._root / STAMPS / f"{head}{STAMP}"
            if path.is_file() and not path.is_symlink():
                stamp, raw = path.read_bytes(), audit.lines[number - 1].raw
                if authority.signed(stamp, raw):
                    times[number] = stamped_time(stamp, raw)
                else:
                    self._problem(f"{STAMPS}/{path.name}: no time stamp of line {number} by them")
        self._check_times(times)

    def _check_times(self, times: dict[int, datetime]) -> None:
        """Hold what the events say of when they were written against the stamps that cover them."""
        found, bare = self._found, 0
        if times:
            found.stamped = max(times)
            found.stamped_at = times[found.stamped]
        for folder, place in self._looked_at.items():
            covering = [time for number, time in times.items() if number >= place.number]
            if not covering:
                bare += 1
                continue
            try:
                lag = min(covering) - datetime.fromisoformat(place.line.text("written"))
            except (ValueError, TypeError):
                self._problem(f"{folder}: its line does not say when it was written")
                continue
            found.lag = max(found.lag, lag)
            if lag < -CLOCKS_DIFFER:
                self._problem(f"{folder}: says that it was written {-lag} after it was stamped")
        if not times:
            self._problem("no line has a time stamp by this authority")
        elif bare:
            self._problem(f"events after line {found.stamped}, the last one stamped: {bare}")

    def _note(self) -> None:
        """Say what is no problem and yet may surprise."""
        audit, notes = self._audit, self._found.notes
        if audit.unlimited:
            notes.append(
                f"{CHAIN}: events let go by an early version, which did not write down under which "
                f"limit: {audit.unlimited}"
            )
        if len(audit.limits) > 1:
            told = ", ".join(
                f"max_bytes {limits.get('max_bytes')} and keep_days {limits.get('keep_days')} from "
                f"line {number} on"
                for number, limits in audit.limits
            )
            notes.append(f"{CHAIN}: the limits were changed: {told}")
        if audit.root and audit.root != self._root.resolve().name:
            notes.append(f"{CHAIN}: was begun in a folder named '{audit.root}'")

    def _check_end(self) -> None:
        """See whether heads that were noted elsewhere are in the chain."""
        audit, demands = self._audit, self._demands
        if demands.heads is not None:
            try:
                noted = NotedHeads(demands.heads).read().get(audit.name, "")
            except OSError as error:
                message = f"cannot read '{demands.heads}': {error.strerror}"
                raise UserError(f"expected noted heads, {message}", USAGE) from error
            if not noted:
                self._problem(
                    f"{demands.heads} has no head of the chain {audit.name or '(unnamed)'}"
                )
            elif noted not in audit.heads:
                self._problem(f"the chain does not have the line {noted[:12]}…: cut off, or older")
        if not demands.head:
            return
        number = audit.heads.get(demands.head)
        if number is None:
            self._problem(f"the chain does not have the line {demands.head[:12]}…: cut off")
            return
        gone = audit.standing_at(number) & audit.dropped.keys()
        trusted = bool(demands.key) or 0 < audit.signed_from <= number
        if gone and not trusted:
            self._problem(
                "events that stood at that head were let go since by lines that nobody signed, no "
                f"different from removed: {len(gone)}"
            )

    def _problem(self, text: str) -> None:
        self._found.problems.append(text)


def _misplaced(path: Path, manifest: Manifest, place: Place) -> Iterator[str]:
    """What a manifest and its place in the chain disagree about."""
    line = place.line
    if file_sha256(path / MANIFEST) != line.text("manifest_sha256"):
        yield f"{MANIFEST} was changed (not the one in {CHAIN})"
    if manifest.sequence != line.record.get("sequence"):
        yield f"is event {manifest.sequence}, out of its order"
    if manifest.previous != place.before:
        yield "does not follow the event before it"
    if manifest.chain_head != line.text("previous"):
        yield "was written after another line of the chain"
    if manifest.chain != place.chain:
        yield "belongs to another chain"
    if manifest.public_key != place.key:
        said = f"the key {manifest.public_key[:12]}…" if manifest.public_key else "no key"
        signed = f"is signed with {place.key[:12]}…" if place.key else "is not signed"
        yield f"names {said}, its line in {CHAIN} {signed}"
    if sum(file.lstat().st_size for file in path.iterdir()) != line.number("bytes"):
        yield f"does not take the bytes that {CHAIN} says"
