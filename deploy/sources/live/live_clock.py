"""Presentation times of a live stream → the capture clock."""

from __future__ import annotations

MAX_LAG_S = 2.0  # a picture that comes later than this starts a new reckoning
MAX_AHEAD_S = 10.0  # one that is due later than this too: the stream's own clock has jumped


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
