"""A file on its way through the server, from the first byte to the result."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from deploy.judging.records import Record

UPLOAD, LINK = "upload", "link"
SHOWN = ("verdict", "status", "reason", "faces_by_verdict")  # of the result, in lists
FAILED, UNFETCHED = "failed", "unfetched"  # beside what becomes of a file in a scan


class State(str, Enum):
    """Where a file is."""

    RECEIVING = "receiving"
    WAITING = "waiting"
    FETCHING = "fetching"
    JUDGING = "judging"
    DONE = "done"


@dataclass
class Job:
    """One file.

    Attributes:
        id: Nobody guesses it.
        name: Of the file, for people.
        origin: `UPLOAD` or `LINK`.
        received: When it came, UTC, ISO 8601.
        folder: Of the file and, later, of its result.
        link: Where it is fetched from; never shown.
        visitor: Who sent it; never shown, and on no disk.
        size: Bytes, as far as they are here.
        state: Where it is.
        share: How much of what its state means is done, in [0, 1].
        ended: When it was done, by `time.monotonic`.
        told: What lists say of its result.
        cancelled: Set when nobody wants it any more.
    """

    id: str
    name: str
    origin: str
    received: str
    folder: Path
    link: str = field(default="", repr=False)
    visitor: str = field(default="", repr=False)
    size: int = 0
    state: State = State.RECEIVING
    share: float = 0.0
    ended: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def video(self) -> Path:
        """Where the file itself lies until it is judged."""
        return self.folder / "video"


def summary_of(result: Record) -> dict[str, Any]:
    """What lists say of a result."""
    return {name: result.get(name) for name in SHOWN}
