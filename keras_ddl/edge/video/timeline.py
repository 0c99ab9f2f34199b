"""Timeline: times that only grow, from clocks that are set back, jump or say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

BACK_MS = 500.0  # a clock set back by more has begun anew; less is a frame out of order
AHEAD_MS = 10_000.0  # of a transport stream, whose clock is another one after such a jump
LONG_MS = 3_600_000.0  # of any other file, where a pause may be meant


@dataclass(frozen=True)
class Moment:
    """When a frame is shown.

    Args:
        time_ms: From the start of the stream; larger than that of the frame before.
        segment: Grows where the clock begins anew.
    """

    time_ms: float
    segment: int


class Timeline:
    """Moments of the frames of one stream.

    Args:
        period_ms: Time between two frames, where nothing better is known.
        transport: Whether the clock is that of a transport stream.
        start_ms: Where the stream says that its clock begins; None = at the first frame.
    """

    def __init__(
        self, period_ms: float, transport: bool = False, start_ms: float | None = None
    ) -> None:
        self.period_ms = period_ms
        self._ahead_ms = AHEAD_MS if transport else LONG_MS
        self._last: Moment | None = None
        self._start_ms = start_ms
        self._offset_ms = 0.0
        self.segments = 0

    @classmethod
    def of(cls, container: InputContainer, stream: VideoStream) -> Timeline:
        """Make the timeline of a stream that FFmpeg has opened."""
        period_ms = float(1000 / (stream.average_rate or stream.guessed_rate or Fraction(25)))
        start, base = stream.start_time, stream.time_base
        start_ms = None if start is None or base is None else float(start * base * 1000)
        return cls(period_ms, "mpegts" in container.format.name, start_ms)

    def origin_ms(self, first_ms: float) -> float:
        """What the clock says at the time 0.

        Args:
            first_ms: What it says at the first frame.
        """
        start_ms = first_ms if self._start_ms is None else self._start_ms
        return start_ms if 0 <= first_ms - start_ms <= self._ahead_ms else first_ms

    def moment(self, clock_ms: float | None) -> Moment | None:
        """Place a frame.

        Args:
            clock_ms: What its stream's clock says; None where it says nothing.

        Returns:
            Its moment; None for a frame out of order, which has no place.
        """
        last = self._last
        if last is None:
            clock_ms = 0.0 if clock_ms is None else clock_ms
            self._offset_ms = -self.origin_ms(clock_ms)
            return self._placed(clock_ms + self._offset_ms)
        if clock_ms is None:
            return self._placed(last.time_ms + self.period_ms)
        time_ms = clock_ms + self._offset_ms
        if last.time_ms - BACK_MS < time_ms <= last.time_ms:
            return None
        if not last.time_ms < time_ms <= last.time_ms + self._ahead_ms:
            self.segments += 1
            time_ms = last.time_ms + self.period_ms
            self._offset_ms = time_ms - clock_ms
        return self._placed(time_ms)

    def _placed(self, time_ms: float) -> Moment:
        self._last = Moment(time_ms, self.segments)
        return self._last
