"""Loss of coded data, and the frames that are smeared by it until the next key frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

# Streams that refresh their pictures bit by bit have no key frames; so many frames after the last
# loss every part of the picture has been sent anew.
REFRESHED = 300
REMEMBERED = 128  # packets; a decoder with many threads gives frames as many packets later


class LossTracker:
    """Which frames are damaged: all from a loss of coded data on, until a key frame follows it.

    A decoder flags the frame whose own data is missing, if that, and none of those predicted from
    it, which are as wrong. Order is that of the packets: clocks may be set back at a loss. Where
    the decoder tells of it, it may be late by some packets, so that frames which leave it after the
    loss is known count as damaged though they seem to be coded before.
    """

    def __init__(self) -> None:
        self._newest = 0
        self._numbers: dict[int, int] = {}  # time stamp of a packet → its number
        self._lost: int | None = None  # number of the newest packet whose data is missing
        self._since = 0  # number of the first packet from which on frames may be damaged
        self._follows = False

    def packet(self, packet: Packet[VideoStream]) -> None:
        """Take the next packet, before it is decoded.

        The mark of a missing part may stand on the packet before: where frames are parsed out of a
        transport stream, one is complete when the next begins.
        """
        self._newest += 1
        if packet.pts is not None:
            self._numbers.pop(packet.pts, None)
            self._numbers[packet.pts] = self._newest
        if len(self._numbers) > REMEMBERED:
            del self._numbers[next(iter(self._numbers))]
        if packet.is_corrupt or self._follows:
            self._since = self._newest if self._lost is None else self._since
            self._lost = self._newest
        self._follows = packet.is_corrupt

    def lost(self, part: Packet[VideoStream] | VideoFrame | None) -> None:
        """Note that data of this packet or frame cannot be decoded."""
        self._lost, self._since = max(self._lost or 0, self._number(part)), 0

    def is_damaged(self, picture: VideoFrame) -> bool:
        """Whether the next decoded frame is, or may be, predicted from lost data."""
        if self._lost is not None:
            number = self._number(picture)
            later = number - self._lost
            renewed = picture.key_frame and not picture.is_corrupt and later > 0
            if renewed or later > REFRESHED:
                self._lost = None
            elif number < self._since:
                return False  # coded before anything was lost
        return self._lost is not None

    def _number(self, part: Packet[VideoStream] | VideoFrame | None) -> int:
        known = None if part is None or part.pts is None else self._numbers.get(part.pts)
        return self._newest if known is None else known
