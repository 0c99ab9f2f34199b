"""Clip sampling: one rule by time, for the training index and the live buffer.

A clip has T frames at start, start + interval, …, start + (T − 1)·interval milliseconds; each is
the frame nearest to its moment, at most half an interval away, and no frame serves twice. With one
interval, frame rate is no part of the rule: 25, 29.97, 30, 50 fps and variable rates give clips of
one tempo, and a source that is too slow, or a gap, gives none. At 40 ms and T = 8 the slowest
steady rate that gives clips is 23.3 fps. With a range of intervals a clip takes the first multiple
of its source's period in that range: at 33 to 100 ms, 10 to 60 fps give clips of evenly spaced
frames.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from keras_ddl.edge.clipspec import ClipSpec

TOLERANCE = 0.08  # of the bounds of a range of intervals: 30.3 ms is about 33
PERIODS = 24  # between the newest frames of a track, which its rate is told by
ROUNDING_MS = 1e-6  # times are floats: two that differ by less are the same


@dataclass(frozen=True)
class Clip:
    """One clip of one face.

    Args:
        frames: uint8, (T, S, S, 3), RGB.
        times_ms: float64, (T,), time of each frame, strictly increasing.
        track_id: The track the crops belong to.
        damaged: Whether a frame of it is, or may be, smeared by lost data.
    """

    frames: np.ndarray
    times_ms: np.ndarray
    track_id: int
    damaged: bool = False


def interval(times_ms: np.ndarray, spec: ClipSpec, turn: int = 0) -> float:
    """Return the time between the frames of a clip that ends with the last of these, in ms.

    Args:
        times_ms: (N,) times of the frames, strictly increasing.
        spec: Gives the range of intervals.
        turn: Take the n-th multiple in the range, counted round; for clips to learn from.
    """
    newest = np.asarray(times_ms, np.float64)[-spec.frames - 1 :]
    if not spec.longest_interval_ms or newest.size < 2:
        return spec.interval_ms
    period = float(np.median(np.diff(newest)))
    first = max(1, math.ceil(spec.interval_ms * (1 - TOLERANCE) / period))
    last = math.floor(spec.slowest_ms * (1 + TOLERANCE) / period)
    if last < first:
        return spec.interval_ms
    return period * (first + turn % (last - first + 1))


def select(
    times_ms: np.ndarray, start_ms: float, spec: ClipSpec, interval_ms: float | None = None
) -> np.ndarray | None:
    """Return which frames make the clip that starts at `start_ms`.

    Args:
        times_ms: (N,) times of the frames, strictly increasing.
        start_ms: Moment of the first frame of the clip; need not be a frame's time.
        spec: Gives the number of frames and the interval.
        interval_ms: Another interval, from `interval`.

    Returns:
        (T,) strictly increasing indices into `times_ms`, the frame nearest to each moment (the
        earlier of two equally near ones); None where one is more than half an interval away or
        a frame would serve twice.

    Raises:
        ValueError: `times_ms` is not one-dimensional or not strictly increasing.
    """
    times = _checked(times_ms)
    if times.size < spec.frames:
        return None
    step = spec.interval_ms if interval_ms is None else interval_ms
    moments = start_ms + step * np.arange(spec.frames)
    right = np.clip(np.searchsorted(times, moments), 1, times.size - 1)
    left = right - 1
    nearer_right = times[right] - moments < moments - times[left] - ROUNDING_MS
    indices = np.where(nearer_right, right, left)
    distance = np.abs(times[indices] - moments)
    if distance.max() > step / 2 + ROUNDING_MS or np.diff(indices).min() < 1:
        return None
    return indices


def longest_period_ms(spec: ClipSpec) -> float:
    """Return the longest time between frames, in ms, at which a steady source gives clips."""
    return spec.slowest_ms * (1 + 0.5 / (spec.frames - 1))


def why_no_clip(times_ms: np.ndarray, spec: ClipSpec, periods_ms: Sequence[float] = ()) -> str:
    """Say in one line why no clip ends with the last of these frames; "" when one does.

    Args:
        times_ms: (N,) times of the newest frames, strictly increasing.
        spec: Gives the number of frames and the interval.
        periods_ms: Times between the newest frames, also of frames that are gone; without them,
            those of `times_ms`.
    """
    times = _checked(times_ms)
    step = interval(times, spec)
    span = step * (spec.frames - 1)
    if times.size and select(times, times[-1] - span, spec, step) is not None:
        return ""
    if slow := _too_slow(np.asarray(periods_ms if len(periods_ms) else np.diff(times)), spec):
        return slow
    periods = np.diff(times)
    covered = float(times[-1] - times[0]) if times.size else 0.0
    if periods.size and periods.max() > 1.5 * step and covered >= span / 2:
        where = int(periods.argmax())
        return f"a gap of {periods[where]:.0f} ms after {times[where]:.0f} ms breaks the clip"
    if covered < span - step / 2:
        return f"collecting: {covered:.0f} of {span:.0f} ms"
    return "frames come too unevenly: no frame within half an interval of each moment"


def _too_slow(periods: np.ndarray, spec: ClipSpec) -> str:
    """Say which rate frames come at where it is too low; a single gap is no rate."""
    longest = longest_period_ms(spec)
    if periods.size < 2:
        return ""
    usual, mean = float(np.median(periods)), float(np.mean(periods))
    gaps = int((periods > 1.5 * usual).sum())
    if usual > longest + ROUNDING_MS:
        period, evenly = usual, ""
    elif gaps >= 2 and mean > longest + ROUNDING_MS:
        period, evenly = mean, ", unevenly"
    else:
        return ""
    return (
        f"frames come every {period:.0f} ms ({1000 / period:.1f} fps){evenly}; a clip needs one at "
        f"least every {longest:.1f} ms ({1000 / longest:.1f} fps)"
    )


def _checked(times_ms: np.ndarray) -> np.ndarray:
    times = np.asarray(times_ms, np.float64)
    if times.ndim != 1 or (times.size > 1 and not np.diff(times).min() > 0):
        raise ValueError(
            f"times_ms: expected strictly increasing times (N,), received shape {times.shape}"
        )
    return times


def _turn(number: int) -> int:
    """Spread numbers so that any evenly spaced ones fall on all turns alike (golden ratio)."""
    return int(1000 * (0.6180339887 * number % 1))


@dataclass
class _Series:
    """The newest crops of one track and when its last clip ended."""

    times: list[float] = field(default_factory=list)
    crops: list[np.ndarray] = field(default_factory=list)
    damaged: list[bool] = field(default_factory=list)
    periods: deque[float] = field(default_factory=lambda: deque(maxlen=PERIODS))
    last_end_ms: float = -np.inf
    clips: int = 0


class ClipBuffer:
    """Buffer of the newest crops of every track, which gives complete clips.

    A clip ends with the frame just pushed: its moments are `time − span … time`, so no later
    frame could be nearer to any of them, and cutting live gives exactly what `select` gives on
    the whole recording.

    Crops older than one span are let go, and so is a track that has been silent for longer than
    it could matter, so memory stays bounded whatever the caller forgets to drop.

    Args:
        spec: Gives the number of frames and the interval.
        stride_ms: Least time between the ends of two clips of a track, kept to a quarter of an
            interval so that a jittering clock does not skip a clip. None = T·interval: clips
            that follow each other without sharing a frame. 0 = a clip with every frame.
        varied: Let the clips of a track take all multiples in the range of intervals, mixed, so
            that a model learns each tempo that its source can show.

    Raises:
        ValueError: `stride_ms` is negative or not finite.
    """

    def __init__(
        self, spec: ClipSpec, stride_ms: float | None = None, varied: bool = False
    ) -> None:
        if stride_ms is not None and not (np.isfinite(stride_ms) and stride_ms >= 0):
            raise ValueError(f"stride_ms: expected a finite number ≥ 0, received {stride_ms!r}")
        self.spec = spec
        self._stride_ms, self._varied = stride_ms, varied
        self._series: dict[int, _Series] = {}

    def push(
        self, track_id: int, time_ms: float, crop: np.ndarray, damaged: bool = False
    ) -> Clip | None:
        """Take the crop of one track at one moment; return the clip it completes, if any.

        Args:
            track_id: The track.
            time_ms: The moment, later than the track's last one.
            crop: uint8, (S, S, 3), RGB; kept by reference, so do not write into it later.
            damaged: Whether its frame is, or may be, smeared by lost data.

        Raises:
            ValueError: The time is not later than the last one, or the crop's size is not S.
        """
        size = self.spec.size
        if crop.dtype != np.uint8 or crop.shape != (size, size, 3):
            raise ValueError(
                f"crop: expected uint8 {(size, size, 3)}, received {crop.dtype} {crop.shape}"
            )
        series = self._series.setdefault(track_id, _Series())
        if series.times and not time_ms > series.times[-1]:
            raise ValueError(
                f"time_ms: expected later than {series.times[-1]}, received {time_ms}; "
                "drop the track when a source starts again"
            )
        if series.times:
            series.periods.append(float(time_ms) - series.times[-1])
        series.times.append(float(time_ms))
        series.crops.append(crop)
        series.damaged.append(damaged)
        self._forget(float(time_ms))
        times, count = np.array(series.times), self.spec.frames
        step = interval(times, self.spec, _turn(series.clips) if self._varied else 0)
        stride = count * step if self._stride_ms is None else self._stride_ms
        if time_ms - series.last_end_ms < stride - step / 4:
            return None
        indices = select(times, time_ms - step * (count - 1), self.spec, step)
        if indices is None:
            return None
        series.last_end_ms, series.clips = float(time_ms), series.clips + 1
        frames = np.stack([series.crops[index] for index in indices])  # (T, S, S, 3)
        smeared = any(series.damaged[index] for index in indices)
        return Clip(frames, times[indices], track_id, smeared)

    def _forget(self, now_ms: float) -> None:
        """Let go of crops no later clip can use, and of tracks gone silent."""
        longest = self.spec.slowest_ms * (1 + TOLERANCE)
        reach = (self.spec.frames - 0.5) * longest + ROUNDING_MS
        silent = max(reach, self._stride_ms or 0.0, self.spec.frames * longest)
        for track_id, series in list(self._series.items()):
            if now_ms - series.times[-1] > silent:
                del self._series[track_id]
                continue
            keep = int(np.searchsorted(series.times, now_ms - reach))
            keep = min(keep, len(series.times) - 1)
            del series.times[:keep], series.crops[:keep], series.damaged[:keep]

    def drop(self, track_id: int) -> None:
        """Forget a track; unknown ids are fine."""
        self._series.pop(track_id, None)

    def clear(self) -> None:
        """Forget every track."""
        self._series.clear()

    def reason(self, track_id: int) -> str:
        """Say in one line why this track has no clip now; "" when one ends with its last frame."""
        series = self._series.get(track_id)
        if series is None:
            return "no crops of this track yet"
        return why_no_clip(np.array(series.times), self.spec, series.periods)

    def __len__(self) -> int:
        """Return how many crops are held, all tracks together."""
        return sum(len(series.times) for series in self._series.values())
