"""Ways to the key frames of a file: by its index, or through all its packets, decoding none."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from keras_ddl.edge.video.damage import Damage, is_early
from keras_ddl.edge.video.decoding import expected_ms, packets_of
from keras_ddl.edge.video.timeline import Timeline
from keras_ddl.edge.video.windows import KeyFrame, Window, segments, window

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.stream import VideoStream

INDEXED = ("mov", "matroska")  # FFmpeg's demuxers whose seeking can be relied on
NEAR = 64  # packets after a seek, in which its key frame must be

NO_INDEX = "its format has no index"
NO_LENGTH = "its header does not say how long it is"
NO_KEY = "its index leads to no key frame"
EARLY = "its pictures end before its header says"
UNTIMED = "packets have no time stamps"
NEW_CLOCK = "its clock begins anew"
NO_KEYS = "it has no key frames"


class Astray(Exception):
    """A way does not lead through this file; its message says why."""


class Way(ABC):
    """A way through the packets of a stream that has just been opened, forwards only.

    Args:
        container: The open file.
        stream: Its video stream.

    Attributes:
        length_ms: Of the video; known after `plan`.
        origin_ms: What its clock says at the time 0; likewise.
    """

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._container, self._stream = container, stream
        self._timeline = Timeline.of(container, stream)
        self._unit_ms = float((stream.time_base or 0) * 1000)
        self.length_ms = self.origin_ms = 0.0

    @abstractmethod
    def plan(self, count: int, room_ms: float) -> list[Window]:
        """Return where to look, in order, and `length_ms` from then on.

        Args:
            count: Parts of the video, of which each is looked at.
            room_ms: What has to follow a place, for a clip.

        Raises:
            Astray: the file cannot be gone through like this.
        """

    @abstractmethod
    def go(self, key: KeyFrame, damage: Damage) -> Iterator[Packet[VideoStream] | None] | None:
        """Return the packets from a key frame on; None where it has been passed already."""

    def time_ms(self, pts: int | None) -> float | None:
        """When a packet or picture with this time stamp is shown."""
        return None if pts is None else pts * self._unit_ms - self.origin_ms

    def _begin(self, first_pts: int) -> None:
        start = self._stream.start_time
        first = first_pts if start is None else max(first_pts, start)  # what an edit list cuts off
        self.origin_ms = self._timeline.origin_ms(first * self._unit_ms)


class ByIndex(Way):
    """The way by a file's own index: nothing between two windows is read."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        super().__init__(container, stream)
        self._newest = -1  # time stamp that the packets handed out have come to

    def plan(self, count: int, room_ms: float) -> list[Window]:
        if not any(name in self._container.format.name for name in INDEXED) or not self._unit_ms:
            raise Astray(NO_INDEX)
        first = self._key()
        if first is None:
            raise Astray(NO_KEY)
        self._begin(first.place)
        self.length_ms = self._measured()
        found = []
        for part in segments(count, self.length_ms, room_ms):
            before = self._key_at(part.middle_ms, backward=True)
            if before is None or before.time_ms > part.middle_ms:
                raise Astray(NO_KEY)
            far = before.time_ms < part.begin_ms
            after = self._key_at(part.middle_ms, backward=False) if far else None
            found.append(window(part, before, after))
        return found

    def go(self, key: KeyFrame, damage: Damage) -> Iterator[Packet[VideoStream] | None] | None:
        if key.place <= self._newest:
            return None
        self._seek(key.place, backward=True)  # its decoder is flushed
        return self._from(key, damage)

    def _from(self, key: KeyFrame, damage: Damage) -> Iterator[Packet[VideoStream] | None]:
        begun = False
        for packet in packets_of(self._container, self._stream, damage):
            if packet is not None and packet.pts is not None:
                begun = begun or (packet.is_keyframe and packet.pts >= key.place)
                self._newest = max(self._newest, packet.pts)
            if begun or packet is None or packet.size == 0:
                yield packet

    def _measured(self) -> float:
        """Where the last packets end, as far as the header says or there is a key frame."""
        said_ms = expected_ms(self._container, self._stream)
        length_ms = said_ms
        if length_ms is None and self._container.duration is not None:
            length_ms = self._container.duration / 1000  # of sound too, which may be longer
        if length_ms is None:
            raise Astray(NO_LENGTH)
        end_ms = 0.0
        if self._seek(self._pts(length_ms), backward=True):
            for packet in packets_of(self._container, self._stream, Damage()):
                shown_ms = self.time_ms(None if packet is None else packet.pts)
                end_ms = max(end_ms, shown_ms or 0.0)
        end_ms += self._timeline.period_ms
        if is_early(end_ms, said_ms):
            raise Astray(EARLY)
        return end_ms

    def _key_at(self, time_ms: float, backward: bool) -> KeyFrame | None:
        return self._key() if self._seek(self._pts(time_ms), backward) else None

    def _key(self) -> KeyFrame | None:
        """The first key frame from where the container stands."""
        for packet in islice(packets_of(self._container, self._stream, Damage()), NEAR):
            if packet is not None and packet.is_keyframe and packet.pts is not None:
                return KeyFrame(packet.pts, self.time_ms(packet.pts) or 0.0)
        return None

    def _seek(self, pts: int, backward: bool) -> bool:
        import av

        try:
            self._container.seek(pts, stream=self._stream, backward=backward)
        except (av.error.FFmpegError, OSError):
            return False
        return True

    def _pts(self, time_ms: float) -> int:
        return round((time_ms + self.origin_ms) / self._unit_ms)


class ByReading(Way):
    """The way through all packets, once to know them and once to decode a few of them.

    Args:
        container, stream: The file as it was just opened; it is read to its end.
        again: The same once more, for its frames.
    """

    def __init__(
        self,
        container: InputContainer,
        stream: VideoStream,
        again: tuple[InputContainer, VideoStream],
    ) -> None:
        super().__init__(container, stream)
        self._again = again
        self._packets: Iterator[tuple[int, Packet[VideoStream] | None]] | None = None
        self._place = -1

    def plan(self, count: int, room_ms: float) -> list[Window]:
        keys = self._known()
        times = [key.time_ms for key in keys]
        found = []
        for part in segments(count, self.length_ms, room_ms):
            before = keys[max(bisect_right(times, part.middle_ms) - 1, 0)]
            later = bisect_left(times, part.middle_ms)
            found.append(window(part, before, keys[later] if later < len(keys) else None))
        return found

    def _known(self) -> list[KeyFrame]:
        """The key frames, after a look at all packets."""
        stamps, keys = array("q"), []
        clock = Timeline.of(self._container, self._stream)
        for packet in packets_of(self._container, self._stream, Damage()):
            if packet is None or packet.size == 0:
                break
            if packet.pts is None or not self._unit_ms:
                raise Astray(UNTIMED)
            stamp = packet.pts if packet.dts is None else packet.dts
            clock.moment(stamp * self._unit_ms)
            if packet.is_keyframe:
                keys.append(len(stamps))
            stamps.append(packet.pts)
        if clock.segments:
            raise Astray(NEW_CLOCK)
        if not keys:
            raise Astray(NO_KEYS)
        self._begin(stamps[keys[0]])
        self.length_ms = (self.time_ms(max(stamps)) or 0.0) + self._timeline.period_ms
        return [KeyFrame(place, self.time_ms(stamps[place]) or 0.0) for place in keys]

    def go(self, key: KeyFrame, damage: Damage) -> Iterator[Packet[VideoStream] | None] | None:
        if key.place <= self._place:
            return None
        if self._packets is None:
            self._packets = enumerate(packets_of(*self._again, damage))
        self._again[1].codec_context.flush_buffers()
        return self._from(key)

    def _from(self, key: KeyFrame) -> Iterator[Packet[VideoStream] | None]:
        for place, packet in self._packets or ():
            self._place = place
            if place >= key.place:
                yield packet
