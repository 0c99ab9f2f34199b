"""Video files (PyAV): upright frames with square pixels and the time they are shown at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_ddl.edge.video.container import MOST_PIXELS
from keras_ddl.edge.video.damage import Damage
from keras_ddl.edge.video.decoder import Decoder
from keras_ddl.edge.video.decoding import decoded, expected_ms
from keras_ddl.edge.video.opening import open_video, unreadable
from keras_ddl.edge.video.picture import rgb, shown_size
from keras_ddl.edge.video.timeline import Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream


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


def probe(path: Path | str, most_pixels: int = MOST_PIXELS) -> VideoInfo:
    """Describe the video of a file; decodes one frame.

    Raises:
        UserError: As in `read_video`.
    """
    decoder = Decoder()
    container, stream = open_video(Path(path), most_pixels, decoder)
    with container:
        frame = next(decoded(container, stream, Damage(), decoder), None)
        if frame is None:
            raise unreadable(Path(path), "a video stream without one decodable frame")
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
    container, stream = open_video(path, most_pixels, decoder)
    damage = Damage() if skipped is None else Damage(skipped)
    return _frames(path, container, stream, damage, decoder)


def _frames(
    path: Path, container: InputContainer, stream: VideoStream, damage: Damage, decoder: Decoder
) -> Iterator[Frame]:
    aspect, timeline = stream.sample_aspect_ratio, Timeline.of(container, stream)
    last_ms, index = None, 0
    with container:
        said_ms = expected_ms(container, stream)
        for picture in decoded(container, stream, damage, decoder):
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
            raise unreadable(path, "a video stream without one decodable frame")
        if timeline.segments:
            often = "once" if timeline.segments == 1 else f"{timeline.segments} times"
            damage.notes.append(f"its clock began anew {often}")
            said_ms = None
        damage.report(path, last_ms + timeline.period_ms, said_ms)
