"""Video files in and out (PyAV): frames with the time they are shown at, H.264 back to disk."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.optional_import import need_pyav
from keras_ddl.edge.video_writer import VideoWriter

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

ATTACHED_PICTURE = 0x0400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC: cover art of an audio file
TEXT_FORMATS = frozenset({"tty", "bin", "xbin", "adf", "idf"})  # FFmpeg draws text files as video
EARLY_END_MS = 500.0  # a file whose frames end this much before its header says is truncated

__all__ = ["Frame", "VideoInfo", "VideoWriter", "probe", "read_video"]


@dataclass(frozen=True)
class Frame:
    """One picture and the moment it belongs to.

    Args:
        image: uint8, (H, W, 3), RGB, upright.
        time_ms: Milliseconds from the start of the stream (presentation time of a file, capture
            clock of a live source).
        index: Running number of the frame in its source, from 0.
        segment: Grows when what follows has nothing to do with what went before: a connection
            lost and found again, another rate. Nothing is tracked across it.
    """

    image: np.ndarray
    time_ms: float
    index: int
    segment: int = 0


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
    notes: list[str] = field(default_factory=list)

    def skip(self, cause: str) -> None:
        self.skipped[cause] = self.skipped.get(cause, 0) + 1


def probe(path: Path | str) -> VideoInfo:
    """Describe the first video stream of a file; decodes one frame.

    Raises:
        UserError: As in `read_video`.
    """
    container, stream = _open(Path(path))
    with container:
        frame = next(_decoded(container, stream, _Damage()), None)
        if frame is None:
            raise _unreadable(Path(path), "a video stream without one decodable frame")
        turned = _quarter_turns(frame) % 2
        width, height = (frame.height, frame.width) if turned else (frame.width, frame.height)
        rate = stream.average_rate or stream.guessed_rate or 0
        return VideoInfo(width, height, float(rate), stream.frames, stream.codec_context.name)


def read_video(path: Path | str, skipped: dict[str, int] | None = None) -> Iterator[Frame]:
    """Yield the frames of a file, upright, with strictly increasing times.

    Times are the presentation times the file carries, so variable frame rates come out right.
    What cannot be decoded is skipped, and a warning at the end counts it; a truncated file
    yields what it still holds.

    Args:
        path: A video file with one or more video streams; the first is read.
        skipped: Filled in while reading: frames left out by cause, "corrupted" or "disorder".

    Raises:
        UserError: No such file, an empty one, not a video, or no video stream in it (at the
            call); not one frame decodable (at the first `next`).
    """
    path = Path(path)
    container, stream = _open(path)
    damage = _Damage() if skipped is None else _Damage(skipped)
    return _frames(path, container, stream, damage)


def _frames(
    path: Path, container: InputContainer, stream: VideoStream, damage: _Damage
) -> Iterator[Frame]:
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    start, last, index = stream.start_time, None, 0
    with container:
        expected_ms = _expected_ms(container, stream)
        for picture in _decoded(container, stream, damage):
            if picture.pts is None or picture.time_base is None:
                damage.untimed += 1
                time_ms = 0.0 if last is None else last + float(1000 / rate)
            else:
                start = picture.pts if start is None else start
                time_ms = float((picture.pts - start) * picture.time_base * 1000)
            if last is not None and time_ms <= last:
                damage.skip("disorder")
                continue
            last = time_ms
            yield Frame(_upright(picture), time_ms, index)
            index += 1
        if last is None:
            raise _unreadable(path, "a video stream without one decodable frame")
        _report(path, damage, last + float(1000 / rate), expected_ms)


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its first real video stream, or say in one line what is wrong."""
    av = need_pyav()
    if not path.is_file():
        raise _unreadable(path, "a folder" if path.is_dir() else "no such file")
    if path.stat().st_size == 0:
        raise _unreadable(path, "an empty file (0 bytes)")
    try:
        container = av.open(str(path.resolve()), mode="r")
    except (av.error.FFmpegError, OSError) as error:
        raise _unreadable(path, f"something FFmpeg cannot open ({_reason(error)})") from error
    names = set(container.format.name.split(","))
    streams = [s for s in container.streams.video if not int(s.disposition) & ATTACHED_PICTURE]
    problem = ""
    if names & TEXT_FORMATS:
        problem = "a text file"
    elif "image2" in names or any(name.endswith("_pipe") for name in names):
        problem = "a still image"
    elif not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        problem = f"a file without a video stream (only {kinds})"
    if problem:
        container.close()
        raise _unreadable(path, problem)
    streams[0].thread_type = "AUTO"
    return container, streams[0]


def _unreadable(path: Path, received: str) -> UserError:
    return UserError(f"{path}: expected a video file, received {received}; check or re-encode it")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", "") or error).splitlines()[0]


def _decoded(
    container: InputContainer, stream: VideoStream, damage: _Damage
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
        try:
            pictures = stream.codec_context.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, OSError):
            damage.skip("corrupted")
            continue
        for picture in pictures:
            if picture.is_corrupt:
                damage.skip("corrupted")
            else:
                yield picture


def _quarter_turns(picture: VideoFrame) -> int:
    """Return how many quarter turns counter-clockwise bring the picture upright."""
    return round(picture.rotation / 90) % 4


def _upright(picture: VideoFrame) -> np.ndarray:
    image = picture.to_ndarray(format="rgb24")
    turns = _quarter_turns(picture)
    return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


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
    if disorder := damage.skipped.get("disorder"):
        notes.append(f"{disorder} frames without a later time skipped")
    if damage.untimed:
        notes.append(f"{damage.untimed} frames without a time stamp, timed by the mean rate")
    if expected_ms is not None and end_ms < expected_ms - EARLY_END_MS:
        notes.append(f"ends at {end_ms:.0f} ms of {expected_ms:.0f} ms (truncated?)")
    if notes:
        log.warning("%s: %s", path.name, "; ".join(notes))
