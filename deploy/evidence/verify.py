"""Verification of evidence: hashes, chain, completeness; every problem is one line."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from deploy.evidence.chain import CHAIN, DROPPED, EVENT
from deploy.evidence.manifest import Manifest, json_object
from deploy.evidence.store import MANIFEST, PARTIAL
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.files import file_sha256


@dataclass
class Findings:
    """Result of a verification.

    Attributes:
        problems: One line each; none means that everything is as it was written.
        notes: What could not be checked, or is no problem.
        folders: Event folders that are there, oldest first.
        dropped: Events that made room.
        head: SHA-256 of the chain's last line, "" where there is no chain.
        heads: That of every line.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    dropped: int = 0
    head: str = ""
    heads: set[str] = field(default_factory=set)


def verify(path: Path) -> Findings:
    """Check a root with its chain, or one event's folder.

    Raises:
        UserError: it is neither.
    """
    if (path / MANIFEST).is_file() or (path / MANIFEST).is_symlink():
        return _one(path)
    if not path.is_dir() or not (path / CHAIN).exists():
        inside = sorted(path.glob(f"*/{MANIFEST}")) if path.is_dir() else []
        if not inside:
            received = "a folder with neither" if path.is_dir() else "no folder"
            message = f"{path}: expected {CHAIN} or {MANIFEST} in a folder, received {received}"
            raise UserError(f"{message}; name what --evidence was given", USAGE)
    return _Root(path).check()


def _one(folder: Path) -> Findings:
    """An event by itself; its place in the chain where the chain lies beside it."""
    found = Findings(folders=[folder])
    found.problems += check_files(folder)
    chain = folder.resolve().parent / CHAIN
    if not chain.is_file():
        found.notes.append(f"{folder.name}: no {CHAIN} beside it, so its place is not checked")
        return found
    digest = file_sha256(folder / MANIFEST)
    lines = [_Line.parse(raw) for raw in chain.read_bytes().splitlines()]
    sought = (EVENT, folder.resolve().name, digest)
    if sought not in [(line.kind, line.folder, line.manifest_sha256) for line in lines]:
        found.problems.append(f"{folder.name}: its {MANIFEST} is not the one in {CHAIN}")
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
    for path in sorted(folder.iterdir()):
        if path.name != MANIFEST and path.name not in manifest.files:
            problems.append(f"{folder.name}: {path.name} was added")
    return problems


@dataclass(frozen=True)
class _Line:
    """A line of a chain as it is read back: nothing in it is trusted."""

    kind: object
    folder: str
    sequence: object
    manifest_sha256: object
    previous: object

    @classmethod
    def parse(cls, raw: bytes) -> _Line:
        value = json_object(raw)
        plain = {name: value.get(name) for name in ("sequence", "manifest_sha256", "previous")}
        return cls(value.get("type"), str(value.get("folder", "")), **plain)


class _Root:
    """One walk along a chain."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found = Findings()
        self._standing: dict[str, _Line] = {}
        self._dropped: set[str] = set()
        self._sequence = 0
        self._newest = ""  # SHA-256 of the manifest of the event before
        self._before: dict[str, str] = {}  # the same, by the folder that follows it

    def check(self) -> Findings:
        found = self._found
        if (self._root / CHAIN).is_file():
            self._walk((self._root / CHAIN).read_bytes())
        else:
            found.problems.append(f"{CHAIN} is missing")
        found.dropped = len(self._dropped)
        for folder, line in self._standing.items():
            self._check_event(folder, line)
        self._look_around()
        return found

    def _walk(self, data: bytes) -> None:
        """Check every line against the one before it, and note what is to be there."""
        found = self._found
        if data and not data.endswith(b"\n"):
            found.problems.append(f"{CHAIN}: its last line is cut short")
        for number, raw in enumerate(data.splitlines(), 1):
            line = _Line.parse(raw)
            if line.previous != found.head:
                found.problems.append(
                    f"{CHAIN}, line {number}: does not follow the line before it "
                    "(a line was changed, removed, added or moved)"
                )
            found.head = hashlib.sha256(raw).hexdigest()
            found.heads.add(found.head)
            problem = self._learn(line)
            if problem:
                found.problems.append(f"{CHAIN}, line {number}: {problem}")

    def _learn(self, line: _Line) -> str:
        """Take in a line; returns what is wrong with it, "" for nothing."""
        folder = line.folder
        if not folder or "/" in folder or folder.startswith("."):
            return "names no folder"
        if line.kind == EVENT:
            self._standing[folder], self._before[folder] = line, self._newest
            self._newest = str(line.manifest_sha256)
            self._sequence += 1
            wrong = line.sequence != self._sequence
            return f"expected event {self._sequence} here" if wrong else ""
        if line.kind == DROPPED:
            oldest = next(iter(self._standing), None)
            self._standing.pop(folder, None)
            self._dropped.add(folder)
            return "" if folder == oldest else "lets go of an event that is not the oldest"
        return "is neither an event nor one let go"

    def _check_event(self, folder: str, line: _Line) -> None:
        path, problems = self._root / folder, self._found.problems
        if not path.is_dir() or path.is_symlink():
            unfinished = (self._root / f"{folder}{PARTIAL}").is_dir()
            why = "not named yet, the next start does it" if unfinished else "removed"
            problems.append(f"{folder}: the event is missing ({why})")
            return
        self._found.folders.append(path)
        problems += check_files(path)
        try:
            manifest = Manifest.read(path)
        except ValueError:  # said by check_files
            return
        if file_sha256(path / MANIFEST) != line.manifest_sha256:
            problems.append(f"{folder}: {MANIFEST} was changed (not the one in {CHAIN})")
        if manifest.sequence != line.sequence:
            problems.append(f"{folder}: is event {manifest.sequence}, out of its order")
        if manifest.previous != self._before[folder]:
            problems.append(f"{folder}: does not follow the event before it")

    def _look_around(self) -> None:
        for path in sorted(self._root.iterdir()):
            name = path.name
            if name.startswith(".") or name == CHAIN or name in self._standing:
                continue
            if name in self._dropped:
                self._found.problems.append(f"{name}: was let go, yet is here")
            elif name.endswith(PARTIAL):
                self._found.notes.append(f"{name}: is being recorded, or a run was killed")
            else:
                self._found.problems.append(f"{name}: was added, the chain does not know it")
