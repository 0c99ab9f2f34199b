"""Windows of a video that is looked at in a few places, spread evenly over its length."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

PATIENCE = 3.0  # times what a window needs at least: it ends then, whatever it has come to


@dataclass(frozen=True)
class Sampling:
    """How a video is sampled.

    Attributes:
        places: Equal parts of the video, of which each is looked at from one place on.
        frames: Of each place, before a clip can begin.
        span_ms: How long a clip is at most.
        whole_ms: A video that is no longer is read whole.
    """

    places: int
    frames: int
    span_ms: float
    whole_ms: float

    def room_ms(self, fps: float) -> float:
        """The least that a window needs, at so many frames per second."""
        return 1000.0 * self.frames / fps + self.span_ms


@dataclass(frozen=True)
class KeyFrame:
    """A frame that decoding can begin with.

    Attributes:
        place: By which it is found again; grows along the file.
        time_ms: When it is shown.
    """

    place: int
    time_ms: float


@dataclass(frozen=True)
class Window:
    """A place of a video that is looked at.

    Attributes:
        key: Where its decoding begins.
        from_ms: The frames that are shown before are decoded, if at all, and left out.
    """

    key: KeyFrame
    from_ms: float


@dataclass(frozen=True)
class Segment:
    """One of equal parts of a video, milliseconds from its start.

    Attributes:
        begin_ms, end_ms: Where it lies.
        middle_ms: Where it is looked at, where that costs nothing.
    """

    begin_ms: float
    middle_ms: float
    end_ms: float


def segments(count: int, length_ms: float, room_ms: float) -> Iterator[Segment]:
    """Yield the equal parts of a video.

    Args:
        count: Parts, at least 1.
        length_ms: Of the video, above 0.
        room_ms: What has to follow a place that is looked at, for a clip.
    """
    part, latest = length_ms / count, max(0.0, length_ms - room_ms)
    for number in range(count):
        begin = number * part
        yield Segment(begin, min(begin + part / 2, latest), min(begin + part, latest))


def window(segment: Segment, before: KeyFrame, after: KeyFrame | None) -> Window:
    """Choose where a segment is looked at: at a key frame in it, else in its middle.

    Args:
        segment: The part of the video.
        before: The last key frame up to its middle.
        after: The first one from its middle on; None where there is none.
    """
    if before.time_ms >= segment.begin_ms:
        return Window(before, before.time_ms)
    if after is not None and after.time_ms <= segment.end_ms:
        return Window(after, after.time_ms)
    return Window(before, segment.middle_ms)
