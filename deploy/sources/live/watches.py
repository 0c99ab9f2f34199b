"""What a live source is watched for: another rate, the same picture, times that make no sense."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from deploy.backoff import Backoff
from deploy.telemetry import NullTelemetry

MAX_AGE_MS = 1000.0
FROZEN_S = 3.0
GRID = 60  # samples along the shorter side of a picture
CHANGED = 0.001  # share of samples below which a picture is the one before: a clock drawn into it
RATE_WINDOW = 25  # frames
RATE_FACTOR = 1.5
RATE_WINDOWS = 2  # in a row that must differ
MAX_LAG_S = 2.0  # a picture that comes later than this starts a new reckoning
FROM_HALF_A_SECOND = partial(Backoff, 0.5, 30.0)
MAX_AHEAD_S = 10.0  # one that is due later than this too: the stream's own clock has jumped


@dataclass(frozen=True)
class Watch:
    """How a live source is watched.

    Args:
        keep_trying: What a first connection that fails means: try again for ever, or an error
            where the frames are read. What was there once is always tried again.
        frozen_s: The same picture for so long is frozen, in seconds; 0 = never.
        max_age_ms: Bound on the age of a frame that waits to be read.
        backoff: Makes the waits between attempts, for each source its own.
        clock: Seconds that only grow.
        sleep: Waits for seconds.
        telemetry: Is told decoding times and how many frames wait.
    """

    keep_trying: bool = False
    frozen_s: float = FROZEN_S
    max_age_ms: float = MAX_AGE_MS
    backoff: Callable[[], Backoff] = FROM_HALF_A_SECOND
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    telemetry: NullTelemetry = field(default_factory=NullTelemetry)


class LiveClock:
    """Places pictures in time by the stream's own time stamps, tied to the capture clock.

    A network delivers in bursts, and clips need even times: so a picture's time is that of its
    stamp, counted from a picture whose arrival is known. Without stamps it is the arrival.

    Args:
        paced: The stream arrives faster than it plays (HLS, a recording): pictures are to be held
            back until they are due. Else no picture is placed later than its arrival.
    """

    def __init__(self, paced: bool = False) -> None:
        self._paced = paced
        self._offset_s: float | None = None

    def place(self, pts_ms: float | None, arrival_s: float) -> float:
        """Return the moment of a picture in seconds of the capture clock.

        Args:
            pts_ms: Its presentation time in milliseconds of the stream's clock; None = unknown.
            arrival_s: When it arrived, in seconds of the capture clock.
        """
        if pts_ms is None:
            return arrival_s
        pts_s = pts_ms / 1000.0
        latest_s = arrival_s + (MAX_AHEAD_S if self._paced else 0.0)
        offset_s = self._offset_s
        if offset_s is None or not arrival_s - MAX_LAG_S <= offset_s + pts_s <= latest_s:
            offset_s = self._offset_s = arrival_s - pts_s
        return offset_s + pts_s


class FreezeWatch:
    """Compares a grid of pixels with those of the picture that the present stillness began with.

    Sensor noise is never exactly zero, so a camera that looks at a wall is not frozen. Comparing
    with the beginning of a stillness, not with the last frame, keeps slow changes visible.

    Args:
        after_s: So long the same picture is frozen, in seconds; 0 = never.
    """

    def __init__(self, after_s: float = FROZEN_S) -> None:
        if after_s < 0.0:
            raise ValueError(f"after_s: expected 0 or more, received {after_s}")
        self._after_s = after_s
        self._sample: np.ndarray | None = None
        self._since_s = 0.0

    def push(self, image: np.ndarray, now_s: float) -> bool:
        """Take the next picture, uint8 (H, W, 3); returns whether it is frozen."""
        if not self._after_s:
            return False
        step = max(1, min(image.shape[:2]) // GRID)
        sample = image[step // 2 :: step, step // 2 :: step]
        if self._sample is None or not _same(self._sample, sample):
            self._sample = sample.copy()
            self._since_s = now_s
        return now_s - self._since_s >= self._after_s


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and int(np.count_nonzero(a != b)) <= CHANGED * a.size


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
        if len(self._times) <= RATE_WINDOW:
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
        self._faster = self._faster + 1 if period * RATE_FACTOR < self._known else 0
        self._slower = self._slower + 1 if period > self._known * RATE_FACTOR else 0
        if max(self._faster, self._slower) < RATE_WINDOWS:
            return False
        self._known, self._faster, self._slower = period, 0, 0
        return True
