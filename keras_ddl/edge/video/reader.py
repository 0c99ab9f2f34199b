"""Video files (PyAV): upright frames with square pixels and the time they are shown at."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import printable
from keras_ddl.edge.optional_import import need_pyav
from keras_ddl.edge.video.container import (
    MOST_PIXELS,
    SCRIPTS,
    choose_stream,
    file_options,
    is_still,
)
from keras_ddl.edge.video.decoder import Decoder
from keras_ddl.edge.video.loss import LossTracker
from keras_ddl.edge.video.picture import hdr, is_interlaced, rgb, shown_size
from keras_ddl.edge.video.timeline import Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

HDR_NOTE = "HDR ({}): its light is taken as it is, not brought down to that of other videos"
INTERLACED_NOTE = "interlaced: one field of each picture is shown"
_OTHERS = {  # how other files begin
    (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"): "a still image",
    (b"%PDF",): "a document",
    (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!"): "an archive",
}
EARLY_END_MS = 500.0  # a file whose frames end this much before its header says is truncated


@dataclass(frozen=True)
class Frame:
    """One picture and the moment it belongs to.

    Args:
        image: uint8, (H, W, 3), RGB, upright, with square pixels.
        time_ms: Milliseconds from the start of the stream (presentation time of a file, capture
            clock of a live source).
        index: Running number of the frame in its source, from 0.
        segment: Grows when what follows has nothing to do with what went before: a connection
            lost and found again, another rate. Nothing is tracked across it.
        damaged: Whether its picture, or one that it was predicted from, lost data on the way.
    """

    image: np.ndarray
    time_ms: float
    index: int
    segment: int = 0
    damaged: bool = False


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about its video stream.

    Args:
        width: Width of the upright picture in pixels.
        height: Height of the upright picture in pixels.
        fps: Mean frames per second; 0.0 = the file does not say.
        frames: Number of frames; 0 = the file does not say.
        codec: Name of the codec, such as "h264".
    """

    width: int
    height: int
    fps: float
    frames: int
    codec: str


@dataclass
class _Damage:
    """What went wrong while a file was read, reported once at its end."""

    skipped: dict[str, int] = field(default_factory=dict)  # frames by cause
    untimed: int = 0
    smeared: int = 0
    loss: LossTracker = field(default_factory=LossTracker)
    notes: list[str] = field(default_factory=list)

    def seen(self, picture: VideoFrame) -> bool:
        """Note what a picture is that it should not be; return whether it is damaged."""
        if (name := hdr(picture)) and (note := HDR_NOTE.format(name)) not in self.notes:
            self.notes.append(note)
        if is_interlaced(picture) and INTERLACED_NOTE not in self.notes:
            self.notes.append(INTERLACED_NOTE)
        damaged = self.loss.is_damaged(picture)
        self.smeared += damaged
        return damaged

    def skip(self, cause: str) -> None:
        self.skipped[cause] = self.skipped.get(cause, 0) + 1

    def corrupted(self, part: Packet[VideoStream] | VideoFrame | None) -> None:
        """Note data that cannot be decoded."""
        self.skip("corrupted")
        self.loss.lost(part)


def probe(path: Path | str, most_pixels: int = MOST_PIXELS) -> VideoInfo:
    """Describe the video of a file; decodes one frame.

    Raises:
        UserError: As in `read_video`.
    """
    decoder = Decoder()
    container, stream = _open(Path(path), most_pixels, decoder)
    with container:
        frame = next(_decoded(container, stream, _Damage(), decoder), None)
        if frame is None:
            raise _unreadable(Path(path), "a video stream without one decodable frame")
        width, height = shown_size(frame, stream.sample_aspect_ratio)
        rate = stream.average_rate or stream.guessed_rate or 0
        return VideoInfo(width, height, float(rate), stream.frames, stream.codec_context.name)


def read_video(
    path: Path | str,
    skipped: dict[str, int] | None = None,
    most_pixels: int = MOST_PIXELS,
    decoder: Decoder | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a file as a player shows them, with strictly increasing times.

    Times are the presentation times the file carries, so variable frame rates come out right; where
    its clock begins anew, so does a segment. What cannot be decoded is skipped, and a warning at
    the end counts it; a truncated file yields what it still holds.

    Args:
        path: A video file; of several streams `container.choose_stream` takes one.
        skipped: Filled in while reading: frames left out by cause, "corrupted" or "disorder".
        most_pixels: Of a picture; larger ones are refused.
        decoder: What decodes it, and is told what it came to; None = the CPU.

    Raises:
        UserError: No such file, an empty one, not a video, or no video stream in it (at the
            call); not one frame decodable (at the first `next`).
    """
    path, decoder = Path(path), decoder or Decoder()
    container, stream = _open(path, most_pixels, decoder)
    damage = _Damage() if skipped is None else _Damage(skipped)
    return _frames(path, container, stream, damage, decoder)


def _frames(
    path: Path, container: InputContainer, stream: VideoStream, damage: _Damage, decoder: Decoder
) -> Iterator[Frame]:
    aspect, timeline = stream.sample_aspect_ratio, Timeline.of(container, stream)
    last_ms, index = None, 0
    with container:
        expected_ms = _expected_ms(container, stream)
        for picture in _decoded(container, stream, damage, decoder):
            if picture.pts is None or picture.time_base is None:
                damage.untimed += 1
                clock_ms = None
            else:
                clock_ms = float(picture.pts * picture.time_base * 1000)
            moment = timeline.moment(clock_ms)
            if moment is None:
                damage.skip("disorder")
                continue
            last_ms = moment.time_ms
            damaged = damage.seen(picture)
            yield Frame(rgb(picture, aspect), moment.time_ms, index, moment.segment, damaged)
            index += 1
        if last_ms is None:
            raise _unreadable(path, "a video stream without one decodable frame")
        if timeline.segments:
            often = "once" if timeline.segments == 1 else f"{timeline.segments} times"
            damage.notes.append(f"its clock began anew {often}")
            expected_ms = None
        _report(path, damage, last_ms + timeline.period_ms, expected_ms)


def _open(path: Path, most_pixels: int, decoder: Decoder) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream, or say in one line what is wrong."""
    av = need_pyav()
    try:
        if received := _not_to_be_opened(path):
            raise _unreadable(path, received)
        try:
            container = decoder.open_file(
                path.resolve(), options=file_options(), metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError) as error:
            raise _unreadable(path, _what(path, _reason(error))) from error
    except OSError as error:  # of the disk, or of a folder that may not be entered
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror or error}") from error
    try:
        stream = choose_stream(container, most_pixels)
    except UserError as error:
        container.close()
        raise _unreadable(path, str(error)) from None
    stream.thread_type = "SLICE" if decoder.on_device else "AUTO"
    return container, stream


def _not_to_be_opened(path: Path) -> str:
    """What a file is that FFmpeg need not be asked about; "" for all others."""
    status = path.stat() if path.exists() else None
    if status is None:
        return "no such file"
    if not stat.S_ISREG(status.st_mode):
        return "a folder" if stat.S_ISDIR(status.st_mode) else "no regular file"
    if status.st_size == 0:
        return "an empty file (0 bytes)"
    if is_still(path):
        return "a HEIC or AVIF picture, which is not read: save it as JPEG or PNG"
    return ""


def _what(path: Path, reason: str) -> str:
    """What a file is that FFmpeg does not open as a container of video."""
    with path.open("rb") as file:
        start = file.read(512)
    for mark, name in SCRIPTS.items():
        if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(mark):
            return name
    for marks, name in _OTHERS.items():
        if any(start.startswith(mark) for mark in marks):
            return name
    if b"\0" not in start and start.isascii():
        return "a text file"
    return f"something FFmpeg cannot open as a video ({reason})"


def _unreadable(path: Path, received: str) -> UserError:
    name = printable(path)
    return UserError(f"{name}: expected a video file, received {received}; check or re-encode it")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error).splitlines()[0]


def _decoded(
    container: InputContainer, stream: VideoStream, damage: _Damage, decoder: Decoder
) -> Iterator[VideoFrame]:
    """Decode packet by packet, so that a bad one costs itself and not the rest of the file."""
    import av

    packets = iter(container.demux(stream))
    flushed = False
    while not flushed:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.FFmpegError, OSError) as error:
            damage.notes.append(f"reading stopped early ({_reason(error)})")
            packet = None  # flush what the decoder still holds
        flushed = packet is None or packet.size == 0
        if packet is not None:
            damage.loss.packet(packet)
        try:
            pictures = stream.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, OSError):
            damage.corrupted(packet)
            continue
        for picture in pictures:
            decoder.saw(stream.codec_context)
            if picture.is_corrupt:
                damage.corrupted(picture)
            else:
                yield picture


def _expected_ms(container: InputContainer, stream: VideoStream) -> float | None:
    """Return how long the header says the video is, where it says so."""
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base * 1000)
    if container.duration is not None and len(container.streams) == 1:
        return container.duration / 1000
    return None


def _report(path: Path, damage: _Damage, end_ms: float, expected_ms: float | None) -> None:
    notes = list(damage.notes)
    if corrupted := damage.skipped.get("corrupted"):
        notes.append(f"{corrupted} corrupted packets skipped")
    if damage.smeared:
        notes.append(f"{damage.smeared} frames after lost data may be smeared, up to a key frame")
    if disorder := damage.skipped.get("disorder"):
        notes.append(f"{disorder} frames without a later time skipped")
    if damage.untimed:
        notes.append(f"{damage.untimed} frames without a time stamp, timed by the mean rate")
    if expected_ms is not None and end_ms < expected_ms - EARLY_END_MS:
        notes.append(f"ends at {end_ms:.0f} ms of {expected_ms:.0f} ms (truncated?)")
    if notes:
        log.warning("%s: %s", printable(path.name), "; ".join(notes))
