"""Names of sources for topics and file names."""

from __future__ import annotations

import re

LONGEST = 64  # characters
UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


class SafeNames:
    """Names of letters, digits, "_", "." and "-" for any names; two never become one.

    "rtsp://***@door:554/1" becomes "rtsp-door-554-1". Of two that would look the same the later
    one gets "-2": the same order of sources gives the same names.
    """

    def __init__(self) -> None:
        self._safe: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The safe form of a name, the same one each time."""
        if name not in self._safe:
            plain = UNSAFE.sub("-", name)[:LONGEST].strip("-.") or "source"
            taken = set(self._safe.values())
            numbered = (f"{plain}-{number}" for number in range(2, len(taken) + 3))
            self._safe[name] = next(form for form in (plain, *numbered) if form not in taken)
        return self._safe[name]
