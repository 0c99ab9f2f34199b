"""A video file looked at in a few places: short windows of its frames, the others not decoded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from keras_ddl.edge.files import printable
from keras_ddl.edge.video.container import MOST_PIXELS
from keras_ddl.edge.video.damage import Damage
from keras_ddl.edge.video.decoder import Decoder
from keras_ddl.edge.video.decoding import expected_ms, pictures_of
from keras_ddl.edge.video.loss import LossTracker
from keras_ddl.edge.video.opening import open_video
from keras_ddl.edge.video.picture import rgb
from keras_ddl.edge.video.reader import Frame, read_video
from keras_ddl.edge.video.ways import Astray, ByIndex, ByReading, Way
from keras_ddl.edge.video.windows import PATIENCE, Sampling, Window

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

ROUNDING_MS = 0.5  # times of key frames are those of their packets, in units of the file
DEFAULT_FPS = 25.0  # where the file does not say
THREADS = 2  # more decode frames ahead of those that are wanted, which are thrown away


class SampledVideo:
    """A video in so many equal parts, of which each is looked at from one place on.

    The place is a key frame of the part, where it has one, so that nothing before is decoded;
    else its middle, to which is decoded from the key frame before, without the frames that no
    other needs. Each window is a segment of its own (see `Frame`), and its times are those that
    `read_video` gives the same frames. Where the file has no index, or a wrong one, its packets
    are read to know where its key frames are; where its clock is not to be trusted, and where it is
    short, it is read whole. Warnings say so.

    Args:
        path: The file.
        sampling: In how many places it is looked at, and for how long.
        most_pixels: Of a picture; larger ones are refused.
        decoder: What decodes it; None = the CPU.

    Attributes:
        windows: Where it is looked at; empty where it is read whole.
        length_ms: Of the video; 0 where it is read whole because that is not known.
        fps: Mean frames per second; 0 where the file does not say.
        decoded: Pictures decoded so far.

    Raises:
        UserError: As `read_video`, at the call and at the first `next`.
    """

    def __init__(
        self,
        path: Path,
        sampling: Sampling,
        most_pixels: int = MOST_PIXELS,
        decoder: Decoder | None = None,
    ) -> None:
        self._path, self._most_pixels = path, most_pixels
        self._decoder = decoder or Decoder()
        self.windows: tuple[Window, ...] = ()
        self.length_ms, self.decoded = 0.0, 0
        self._damage = Damage()
        self._enough = False
        self._last_ms = -1.0
        self._decoded: Iterator[VideoFrame] = iter(())
        self._from_ms = 0.0
        self._container, self._stream = self._opened()
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self._said_ms = expected_ms(self._container, self._stream)
        room_ms = sampling.room_ms(self.fps or DEFAULT_FPS)
        self._longest_ms = PATIENCE * room_ms
        if self._said_ms is None or self._said_ms > sampling.whole_ms:
            self._plan(sampling.places, room_ms, sampling.whole_ms)

    def _opened(self) -> tuple[InputContainer, VideoStream]:
        container, stream = open_video(self._path, self._most_pixels, self._decoder)
        stream.codec_context.thread_count = THREADS
        return container, stream

    def _plan(self, count: int, room_ms: float, whole_ms: float) -> None:
        """Find where to look: by the index, else by reading, else nowhere."""
        try:
            self._way: Way = ByIndex(self._container, self._stream)
            windows = self._way.plan(count, room_ms)
        except Astray as index:
            self._container.close()
            self._container, self._stream = again = self._opened()
            container, stream = self._opened()
            try:
                with container:
                    self._way = ByReading(container, stream, again)
                    windows = self._way.plan(count, room_ms)
            except Astray as reading:
                self._say(f"{index}, {reading}: it is not sampled, every frame is looked at")
                return
            self._say(f"{index}: all of it was read to be sampled, though not decoded")
        self.length_ms = self._way.length_ms
        if self.length_ms > whole_ms:
            self.windows = tuple(windows)

    def enough(self) -> None:
        """The window at hand need not go on; for whoever takes its frames."""
        self._enough = True

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def frames(self, skipped: dict[str, int] | None = None) -> Iterator[Frame]:
        """Yield the frames of all windows, or of the whole video; once.

        Args:
            skipped: As of `read_video`.
        """
        self._damage = Damage() if skipped is None else Damage(skipped)
        index = missing = 0
        with self._container:
            for number, window in enumerate(self.windows):
                before = index
                for frame in self._look(number, window, index):
                    yield frame
                    index += 1
                missing += index == before
        if index:
            self._report(missing)
            return
        if self.windows:
            self._say("nothing could be decoded where it was looked at: it is read whole")
            self.windows = ()
        for frame in read_video(self._path, skipped, self._most_pixels, self._decoder):
            self.decoded += 1
            yield frame

    def _look(self, number: int, window: Window, index: int) -> Iterator[Frame]:
        self._enough, from_ms = False, max(window.from_ms - ROUNDING_MS, self._last_ms)
        aspect, until_ms = self._stream.sample_aspect_ratio, None
        for picture in self._pictures(window):
            time_ms = self._way.time_ms(picture.pts)
            if time_ms is None:
                self._damage.skip("disorder")
            if time_ms is None or time_ms <= from_ms:
                continue
            from_ms = self._last_ms = time_ms
            damaged = self._damage.seen(picture)
            yield Frame(rgb(picture, aspect), time_ms, index, number, damaged)
            index += 1
            until_ms = time_ms + self._longest_ms if until_ms is None else until_ms
            if self._enough or time_ms >= until_ms:
                return

    def _pictures(self, window: Window) -> Iterator[VideoFrame]:
        """The pictures from a window's key frame on, or from where the one before has ended."""
        packets = self._way.go(window.key, self._damage)
        if packets is not None:
            self._decoded = self._decode(packets)
            self._damage.loss = LossTracker()
        self._from_ms = window.from_ms
        return self._decoded

    def _decode(self, packets: Iterator[Packet[VideoStream] | None]) -> Iterator[VideoFrame]:
        context = self._stream.codec_context
        for packet in packets:
            shown_ms = self._way.time_ms(None if packet is None else packet.pts)
            early = shown_ms is not None and shown_ms < self._from_ms - ROUNDING_MS
            context.skip_frame = "NONREF" if early else "DEFAULT"
            for picture in pictures_of(packet, self._stream, self._damage, self._decoder):
                self.decoded += 1
                yield picture

    def _report(self, missing: int) -> None:
        if missing:
            many = f"{missing} of {len(self.windows)} places gave no picture"
            self._damage.notes.append(many)
        self._damage.report(self._path, self.length_ms, self._said_ms)

    def _say(self, text: str) -> None:
        log.warning("%s: %s", printable(self._path.name), text)
