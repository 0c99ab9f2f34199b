"""A network stream."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from deploy.sources.base import DEFAULT_FPS, DEFAULT_LIMITS, Limits
from deploy.sources.hls import variant_address
from deploy.sources.live.connection import Shot
from deploy.sources.live.interrupts import make_interruptible
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video.container import choose_stream, url_options
from keras_ddl.edge.video.decoder import Decoder
from keras_ddl.edge.video.loss import LossTracker
from keras_ddl.edge.video.picture import rgb
from keras_ddl.edge.video.timeline import Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

TIMEOUT_S = (5.0, 5.0)  # to connect, to read
PLAYLIST_S = (5.0, 20.0)  # a playlist grows by a segment at a time
NO_ANSWER = "no answer in time"
NO_PICTURE_S = 10.0  # packets, but nothing that can be decoded, for so long: lost
# "nobuffer" is not among them: it throws away what was read to find out what the stream is, the
# first key frame included, and nothing is to be seen before the next one.
INDEX_LAST = (
    "before the first picture; an MP4 or MOV file whose index is at its end can only be read from "
    "a server that sends ranges: download it and name the file, or move the index to the front "
    "(ffmpeg -i IN -c copy -movflags +faststart OUT)"
)
# Over TCP, where no picture is lost on the way; over UDP where a camera has nothing else.
RTSP = {
    "rtsp_transport": "tcp+udp",
    "rtsp_flags": "prefer_tcp",
    "flags": "low_delay",
    "analyzeduration": "1000000",
}
UNTIMED = {"mpjpeg", "mjpeg", "jpeg_pipe"}  # formats whose time stamps FFmpeg makes up


class UrlConnection:
    """An open stream, through FFmpeg.

    Args:
        container: The open stream.
        name: For errors, without credentials.
        most_pixels: Of a picture.
        decoder: Is told what decodes.

    Attributes:
        timeline: The moments of its pictures, where it is a recording.
    """

    def __init__(
        self, container: InputContainer, name: str, most_pixels: int, decoder: Decoder
    ) -> None:
        self._decoder = decoder
        self._container = container
        self._name = name
        self._stream = choose_stream(container, most_pixels)
        formats = set(container.format.name.split(","))
        self.ends = container.duration is not None
        self.paced = self.ends or "hls" in formats
        self.fps = float(self._stream.average_rate or DEFAULT_FPS)
        self.length = self._stream.frames or None
        self._timed = not formats & UNTIMED
        self._loss = LossTracker()
        self.timeline = Timeline.of(container, self._stream)
        self._indexed = self.ends and "mov" in formats
        # Threads that share a picture: those that take one each hold back as many pictures.
        together = decoder.on_device or not self.paced
        self._stream.thread_type = "SLICE" if together else "AUTO"

    def shots(self, drop: Callable[[str], None]) -> Iterator[Shot]:
        """Yield pictures until the stream ends."""
        import av.error

        packets = self._container.demux(self._stream)
        started = seen = time.monotonic()
        trouble = ""
        while not trouble:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError) as error:
                trouble = _reason(error)
                if self._indexed and seen == started and error.errno == errno.EIO:
                    trouble += f" {INDEX_LAST}"  # to go back for the pictures was refused
                break
            if packet is None:
                return
            for shot in self._decoded(packet, drop):
                yield shot
                seen = time.monotonic()
            if time.monotonic() - seen > NO_PICTURE_S:
                trouble = f"nothing that can be decoded for {NO_PICTURE_S:.0f} s"
        raise UserError(f"lost {self._name}: {trouble}", MISSING)  # outside: causes hold addresses

    def _decoded(self, packet: Packet[VideoStream], drop: Callable[[str], None]) -> Iterator[Shot]:
        import av.error

        start = time.perf_counter()
        self._loss.packet(packet)
        try:
            pictures = self._stream.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, OSError):
            drop("corrupted")
            self._loss.lost(packet)
            return
        for picture in pictures:
            self._decoder.saw(self._stream.codec_context)
            if picture.is_corrupt:
                drop("corrupted")
                self._loss.lost(picture)
                continue
            damaged = self._loss.is_damaged(picture)
            image = rgb(picture, self._stream.sample_aspect_ratio)
            yield Shot(image, self._pts_ms(picture), time.perf_counter() - start, damaged)
            start = time.perf_counter()

    def _pts_ms(self, picture: VideoFrame) -> float | None:
        base = picture.time_base or self._stream.time_base
        if not self._timed or picture.pts is None or base is None:
            return None
        return float(picture.pts * base * 1000)

    def close(self) -> None:
        """Close the connection."""
        self._container.close()


def connect_url(
    url: str, name: str, limits: Limits = DEFAULT_LIMITS, decoder: Decoder | None = None
) -> UrlConnection:
    """Open a network stream; waits up to five seconds, for a playlist longer.

    Args:
        url: `rtsp://`, `rtsps://`, `http://` or `https://`, with its credentials.
        name: For errors, without credentials.
        limits: On its pictures.
        decoder: What decodes them; None = the CPU.

    Raises:
        UserError: no connection, or no video in it; neither it nor its cause holds the address.
    """
    av = need("av", "reading a network stream")
    make_interruptible()
    decoder = decoder or Decoder()
    container, trouble = None, ""
    is_playlist = ".m3u8" in url and url.lower().startswith("http")
    timeout = PLAYLIST_S if is_playlist else TIMEOUT_S
    url = variant_address(url, name, limits.lines) if is_playlist else url
    options = url_options(url) | (RTSP if url.lower().startswith("rtsp") else {})
    more = {"metadata_errors": "replace", **decoder.options()}
    start = time.monotonic()
    try:
        container = av.open(url, timeout=timeout, options=options, **more)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        late = time.monotonic() - start >= timeout[0]  # FFmpeg may call silence invalid data
        trouble = NO_ANSWER if late else _reason(error)
    if container is None:
        raise UserError(f"cannot open {name}: {trouble}", MISSING)
    try:
        return UrlConnection(container, name, limits.most_pixels, decoder)
    except UserError as error:
        container.close()
        raise UserError(f"expected a video stream at {name}, received {error}", MISSING) from None


def _reason(error: BaseException) -> str:
    """The system's words for an error, without the address it repeats."""
    words = getattr(error, "strerror", None) or type(error).__name__
    timed_out = isinstance(error, TimeoutError) or "exit requested" in words
    return NO_ANSWER if timed_out else str(words)
