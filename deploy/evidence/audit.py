"""Audit of a chain's lines, without a look at the folders that they name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from deploy.evidence.line import CHAIN, DROPPED, EVENT, OPENED, STAMPED, Line

ROUNDING = timedelta(milliseconds=1)  # times are written in whole milliseconds


@dataclass(frozen=True)
class Place:
    """Where an event stands in its chain.

    Attributes:
        number: Of its line, from 1.
        line: The line.
        before: SHA-256 of the manifest of the event before, "" for the first.
        key: What that line is signed with, "" for nothing.
        chain: Id of the chain, "" where no line above tells it.
    """

    number: int
    line: Line
    before: str
    key: str
    chain: str


@dataclass
class Audit:
    """Walk along a chain, each line against those before it.

    Args:
        data: The file.
        expected: Public key that has to sign it, 64 hex digits; "" = whichever signs it.

    Attributes:
        problems: One line each.
        lines: All of them.
        heads: Number of a line by its SHA-256.
        head: SHA-256 of the last line.
        name: Id of the chain, "" where it has none (an early version wrote it).
        root: Name of the folder in which it was begun.
        key: What signs it, "" for nothing.
        signed_from: Number of the first signed line, 0 for none.
        standing: Events that are to be there, oldest first.
        dropped: Number of the line that let go of an event, by its folder.
        unlimited: Events let go by lines of an early version, which name no limit.
        stamps: Lines that name a time stamp, by number.
        limits: Limits that were in force, with the number of the line that first named them.
    """

    data: bytes
    expected: str = ""
    problems: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    heads: dict[str, int] = field(default_factory=dict)
    head: str = ""
    name: str = ""
    root: str = ""
    key: str = ""
    signed_from: int = 0
    standing: dict[str, Place] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    unlimited: int = 0
    stamps: dict[int, Line] = field(default_factory=dict)
    limits: list[tuple[int, Mapping[str, Any]]] = field(default_factory=list)
    _sequence: int = 0
    _newest: str = ""
    _bytes: float = 0.0

    def __post_init__(self) -> None:
        """Walk the file."""
        *whole, rest = self.data.split(b"\n")
        if rest:
            self.problems.append(f"{CHAIN}: its last line is cut short")
        for raw in [*whole, rest] if rest else whole:
            self._walk(Line.parse(raw))
        if self.expected and not self.signed_from:
            self.problems.append(f"{CHAIN}: no line is signed, though a key is expected")

    def standing_at(self, number: int) -> set[str]:
        """Folders that stood when line `number` was the last."""
        later = {folder for folder, line in self.dropped.items() if line > number}
        names = {line.folder for line in self.lines[:number] if line.kind == EVENT}
        return {name for name in names if name in self.standing or name in later}

    def _walk(self, line: Line) -> None:
        self.lines.append(line)
        number = len(self.lines)
        if line.text("previous") != self.head:
            self._problem(
                "does not follow the line before it (a line was changed, removed, added or moved)"
            )
        self.head = line.digest
        self.heads[self.head] = number
        if line.kind == OPENED:
            self._open(line)
        elif self.name and line.number("line") != number:
            self._problem(f"says that it is line {line.record.get('line')}")
        self._check_signature(line)
        problem = self._learn(line)
        if problem:
            self._problem(problem)

    def _problem(self, text: str) -> None:
        self.problems.append(f"{CHAIN}, line {len(self.lines)}: {text}")

    def _open(self, line: Line) -> None:
        name, key, number = line.text("chain"), line.digest_of("key"), len(self.lines)
        if not name or (self.name and name != self.name):
            self._problem("belongs to another chain" if name else "names no chain")
        if line.number("line") != number:
            self._problem(f"says that it is line {line.record.get('line')}")
        if self.signed_from and key != self.key:
            said = f"the key {key[:12]}…" if key else "no key"
            self._problem(f"names {said}, the lines above are signed with {self.key[:12]}…")
        elif key and not self.signed_from:
            self.key, self.signed_from = key, number
            if number > 1:
                self._problem("begins to sign, the lines above are not signed")
        self.name = self.name or name
        self.root = self.root or line.text("root")
        limits = line.record.get("limits")
        known = [each for _, each in self.limits]
        if not isinstance(limits, dict):
            self._problem("names no limits")
        elif limits not in known:
            self.limits.append((number, limits))

    def _check_signature(self, line: Line) -> None:
        if not self.signed_from:
            if line.is_signed:
                self._problem("is signed, yet no line above names a key")
        elif not line.is_signed:
            self._problem("is not signed, though the key that signs was named above")
        elif not line.signed_by(self.key):
            self._problem(f"was not signed with the key {self.key[:12]}… as it stands here")
        elif self.expected and self.key != self.expected:
            self._problem(
                f"is signed with the key {self.key[:12]}…, expected {self.expected[:12]}…"
            )

    def _learn(self, line: Line) -> str:
        """Take in a line; returns what is wrong with it, "" for nothing."""
        number, folder = len(self.lines), line.folder
        if line.kind == OPENED:
            return ""
        if line.kind == STAMPED:
            self.stamps[number] = line
            return "" if line.digest_of("head") in self.heads else "stamps a line that is not above"
        if line.kind not in (EVENT, DROPPED):
            return "is neither an event nor one let go"
        if not folder:
            return "names no folder"
        if line.kind == DROPPED:
            return self._let_go(line, folder)
        known = folder in self.standing or folder in self.dropped
        key = self.key if self.signed_from else ""
        self.standing[folder] = Place(number, line, self._newest, key, self.name)
        self._newest = line.text("manifest_sha256")
        if not line.number("bytes") >= 0:
            return "does not say what the event takes"
        self._bytes += line.number("bytes")
        self._sequence += 1
        if line.number("sequence") != self._sequence:
            return f"expected event {self._sequence} here"
        return "names a folder that a line above has" if known else ""

    def _let_go(self, line: Line, folder: str) -> str:
        oldest = next(iter(self.standing), None)
        total, last = self._bytes, len(self.standing) == 1
        place = self.standing.pop(folder, None)
        if place is not None and place.line.number("bytes") >= 0:
            self._bytes -= place.line.number("bytes")
        self.dropped[folder] = len(self.lines)
        if place is None or folder != oldest:
            return "lets go of an event that is not the oldest"
        if not self.name:
            self.unlimited += 1
            return ""
        reason, limit = line.text("reason"), line.number("limit")
        if not any(each.get(reason) == limit for _, each in self.limits):
            return f"lets go of an event for a limit that was never in force ({reason})"
        if reason == "max_bytes":
            fine = total > limit and not last
        else:
            fine = _older(place.line.text("written"), line.text("written"), limit)
        return "" if fine else f"lets go of an event though {reason} did not ask for it"


def _older(written: str, now: str, days: float) -> bool:
    try:
        age = datetime.fromisoformat(now) - datetime.fromisoformat(written)
        return age + ROUNDING >= timedelta(days=days)
    except (ValueError, TypeError, OverflowError):
        return False
