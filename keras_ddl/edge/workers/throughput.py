"""Throughput of a pool that works through videos: done, failed, hours of video an hour, by node."""

from __future__ import annotations

from collections.abc import Mapping

NODES = 4  # of a cluster that are named; a line has no room for more


class Throughput:
    """Counts of videos since a command began, for its progress bar.

    Args:
        files: How many there are to do.
        done_by: Jobs that each node of a cluster has done, as they are counted (`WorkerPool`);
            empty without one.
        unit: What is counted, in the plural.
    """

    def __init__(self, files: int, done_by: Mapping[str, int], unit: str = "files") -> None:
        self._files, self._done_by, self._unit = files, done_by, unit
        self._done = self._failed = 0
        self._seconds = 0.0

    def add(self, failed: bool, seconds: float) -> None:
        """Count a file.

        Args:
            failed: Whether nothing could be had from it.
            seconds: Of its video that were looked at.
        """
        self._done += 1
        self._failed += failed
        self._seconds += seconds

    def told(self, elapsed_s: float) -> str:
        """What stands behind the bar after so many seconds."""
        parts = [f"{self._done} of {self._files} {self._unit}"]
        if self._failed:
            parts.append(f"{self._failed} failed")
        hours = max(elapsed_s, 1e-9) / 3600.0
        speed, ratio = self._done / hours, self._seconds / 3600.0 / hours
        parts.append(f"{speed:,.0f} {self._unit} and {ratio:,.1f} h of video an hour")
        parts += [f"{name} {count}" for name, count in sorted(self._done_by.items())[:NODES]]
        return ", ".join(parts)
