"""Whether the time between frames has changed for good."""

from __future__ import annotations

import statistics

WINDOW = 25  # frames
FACTOR = 1.5
WINDOWS = 2  # in a row that must differ


class RateWatch:
    """Compares the median period of each 25 frames with the one it knew.

    A median is deaf to single gaps and bursts; two windows in a row must differ by more than the
    factor, in one direction. The first window is let go: connections open with a burst.
    """

    def __init__(self) -> None:
        self._times: list[float] = []
        self._known: float | None = None
        self._warm = False
        self._faster = 0  # windows in a row that were faster
        self._slower = 0

    def push(self, time_ms: float) -> bool:
        """Take the time of the next frame; returns whether another rate has been reached."""
        self._times.append(time_ms)
        if len(self._times) <= WINDOW:
            return False
        pairs = zip(self._times[1:], self._times[:-1], strict=True)
        period = max(0.01, statistics.median(b - a for b, a in pairs))
        self._times = self._times[-1:]
        if not self._warm:
            self._warm = True
            return False
        if self._known is None:
            self._known = period
            return False
        self._faster = self._faster + 1 if period * FACTOR < self._known else 0
        self._slower = self._slower + 1 if period > self._known * FACTOR else 0
        if max(self._faster, self._slower) < WINDOWS:
            return False
        self._known, self._faster, self._slower = period, 0, 0
        return True
