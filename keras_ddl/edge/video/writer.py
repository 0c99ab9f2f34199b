"""H.264 writer: RGB frames to files that browsers play (PyAV)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

from keras_ddl.edge.errors import MISSING, UserError, is_refusal, refusal
from keras_ddl.edge.optional_import import need_pyav

log = logging.getLogger(__name__)

MP4 = (".mp4", ".m4v", ".mov")
BOX_HEADER = 8  # bytes of a box of an MP4 file: size and kind
RESCUED_EVERY_S = 2.0
TICKS = 90_000  # time base of written files per second: exact for 25, 30 and 29.97 fps


class VideoWriter:
    """Context manager that writes RGB frames as H.264 in yuv420p, which browsers play.

    The file has the first frame's size; odd sides are extended to even ones by repeating the last
    column or row. It opens on the first frame and writes to a temporary name beside `path`; the
    file gets its name when the block ends without an error, and nothing is left behind when it does
    not. With `rescue` what was written before a disk was full gets the name too; after kill -9 it
    can be played under the temporary one (".NAME.part.mp4").

    Args:
        path: File to write; its suffix chooses the container (".mp4", ".mkv", ".mov").
        fps: Frames per second of frames written without a time.
        crf: x264's constant rate factor, 0 (lossless) to 51.
        preset: x264's speed preset.
        rescue: Write so that what is there can be played at any moment but for the last
            three seconds; a little larger.

    Raises:
        ValueError: `fps` is not positive, or `crf` is out of range.
    """

    def __init__(
        self,
        path: Path | str,
        fps: float,
        crf: int = 18,
        preset: str = "veryfast",
        rescue: bool = False,
    ) -> None:
        if not fps > 0:
            raise ValueError(f"fps: expected above 0, received {fps!r}")
        if not 0 <= crf <= 51:
            raise ValueError(f"crf: expected 0 to 51, received {crf!r}")
        self.path = Path(path)
        self.fps = Fraction(fps).limit_denominator(1001)
        self.size: tuple[int, int] | None = None  # the first frame's
        self.frames = 0
        self._options = {"crf": str(crf), "preset": preset}
        self._muxing: dict[str, str] = {}
        self._rescue = rescue
        if rescue:
            self._options["g"] = str(max(1, round(RESCUED_EVERY_S * fps)))
            if self.path.suffix.lower() in MP4:
                # Fragments while it is written, a plain file once it is finished.
                self._muxing["movflags"] = "hybrid_fragmented+frag_keyframe"
                self._muxing["flush_packets"] = "1"
        self._temporary = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        self._container: Any = None
        self._stream: Any = None
        self._origin_ms: float | None = None
        self._last = -1  # time of the newest frame in ticks, as written
        self._next = Fraction(0)  # time of the next frame at the constant rate, exact
        self._closed = False

    def write(self, rgb: np.ndarray, time_ms: float | None = None) -> None:
        """Append one frame.

        Args:
            rgb: uint8, (H, W, 3), RGB; scaled where its size is not the file's.
            time_ms: When the frame is shown, on any clock; the first one given becomes the
                present end of the file. None = one frame duration after the one before.

        Raises:
            ValueError: Wrong shape or dtype, or the writer is closed.
            UserError: The file cannot be opened for writing.
        """
        if self._closed:
            raise ValueError(f"{self.path}: this writer is closed")
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
            raise ValueError(
                f"frame: expected uint8 (H, W, 3), received {rgb.dtype} {tuple(rgb.shape)}"
            )
        if self._container is None:
            self._open(rgb)
        import av

        picture = av.VideoFrame.from_ndarray(self._fit(rgb), format="rgb24")
        picture.pts, picture.time_base = self._ticks(time_ms), Fraction(1, TICKS)
        self._encode(picture)
        self.frames += 1

    def _ticks(self, time_ms: float | None) -> int:
        """Return the time stamp of the next frame, always after the one before."""
        ticks = self._next
        if time_ms is not None:
            if self._origin_ms is None:
                self._origin_ms = time_ms - float(ticks * 1000 / TICKS)
            ticks = Fraction((time_ms - self._origin_ms) * TICKS / 1000)
        self._last = max(round(ticks), self._last + 1)
        exact = ticks if round(ticks) == self._last else Fraction(self._last)
        self._next = exact + TICKS / self.fps
        return self._last

    def _open(self, rgb: np.ndarray) -> None:
        av = need_pyav()
        width, height = self.size = (rgb.shape[1], rgb.shape[0])
        try:
            self._container = av.open(
                str(self._temporary), mode="w", container_options=self._muxing
            )
            stream = self._container.add_stream("libx264", rate=self.fps, options=self._options)
            stream.width, stream.height = width + width % 2, height + height % 2
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = Fraction(1, TICKS)
            self._container.start_encoding()
        except (av.error.FFmpegError, OSError, ValueError) as error:
            self._discard()
            raise self._unwritable(error) from error
        self._stream = stream

    def _encode(self, picture: Any) -> None:
        """Encode one picture, or what is left with None; a full disk is the user's to mend."""
        import av

        try:
            self._container.mux(self._stream.encode(picture))
        except (av.error.FFmpegError, OSError) as error:
            self._give_up()
            raise self._unwritable(error) from error

    def _unwritable(self, error: Exception) -> UserError:
        if is_refusal(error):  # a full disk is no mistake in the path
            number = getattr(error, "errno", 0) or 0
            refused = OSError(number, os.strerror(number), str(self.path))
            return UserError(refusal(refused), MISSING)
        return UserError(
            f"{self.path}: expected a writable .mp4, .mkv or .mov file, received: "
            f"{str(error).splitlines()[0]}; choose another path"
        )

    def _fit(self, rgb: np.ndarray) -> np.ndarray:
        wanted = self.size or (rgb.shape[1], rgb.shape[0])
        if (rgb.shape[1], rgb.shape[0]) != wanted:
            import cv2

            rgb = cv2.resize(rgb, wanted, interpolation=cv2.INTER_AREA)
        odd_rows, odd_columns = rgb.shape[0] % 2, rgb.shape[1] % 2
        if odd_rows or odd_columns:
            rgb = np.pad(rgb, ((0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")
        return np.ascontiguousarray(rgb)

    def close(self) -> None:
        """Finish the file and give it its name; without a frame no file is made."""
        if self._closed:
            return
        if self._container is None:
            self._closed = True
            log.warning("%s: no frame was written, so no file was made", self.path)
            return
        import av

        self._encode(None)
        try:
            self._container.close()
            self._temporary.replace(self.path)
            self._closed = True
        except (av.error.FFmpegError, OSError) as error:
            raise self._unwritable(error) from error
        finally:
            if not self._closed:
                self._give_up()

    def _give_up(self) -> None:
        """Keep what can be played, where that was asked for; else nothing."""
        import av

        if self._rescue and self._container is not None:
            self._closed = True
            container, self._container = self._container, None
            with suppress(av.error.FFmpegError, OSError):  # the disk that is full
                container.close()
            if self.path.suffix.lower() not in MP4 or cut_to_whole_fragments(self._temporary):
                self._temporary.replace(self.path)
        self._discard()

    def _discard(self) -> None:
        self._closed = True
        container, self._container = self._container, None
        if container is not None:
            container.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._discard()


def cut_to_whole_fragments(path: Path) -> bool:
    """Cut off what comes after the last whole fragment of a fragmented MP4 file.

    Returns:
        Whether there was one: without, nothing can be played.

    Raises:
        OSError: the file cannot be read or cut.
    """
    whole = 0
    with path.open("r+b") as file:
        for kind, end in _boxes(file, path.stat().st_size):
            if kind == b"mdat":  # the pictures of the fragment that the box before describes
                whole = end
        file.truncate(whole)
    return whole > 0


def _boxes(file: BinaryIO, length: int) -> Iterator[tuple[bytes, int]]:
    """Kind and end of every whole box at the top of the file (ISO/IEC 14496-12, 4.2)."""
    begin = 0
    while begin + BOX_HEADER <= length:
        file.seek(begin)
        size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
        if size == 1:  # it stands behind the kind, for more than 4 GiB
            size = int.from_bytes(file.read(8), "big")
        begin += size
        if size < BOX_HEADER or begin > length:
            return
        yield kind, begin
