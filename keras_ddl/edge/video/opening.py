"""Opening of a video file, or what is wrong with it in one line."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import printable
from keras_ddl.edge.optional_import import need_pyav
from keras_ddl.edge.video.container import SCRIPTS, choose_stream, file_options, is_still
from keras_ddl.edge.video.decoder import Decoder

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

_OTHERS = {  # how other files begin
    (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*"): "a still image",
    (b"%PDF",): "a document",
    (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!"): "an archive",
}


def open_video(
    path: Path, most_pixels: int, decoder: Decoder
) -> tuple[InputContainer, VideoStream]:
    """Open a file and choose its video stream, or say in one line what is wrong."""
    av = need_pyav()
    try:
        if received := _not_to_be_opened(path):
            raise unreadable(path, received)
        try:
            container = decoder.open_file(
                path.resolve(), options=file_options(), metadata_errors="replace"
            )
        except (av.error.FFmpegError, OSError) as error:
            raise unreadable(path, _what(path, reason_of(error))) from error
    except OSError as error:  # of the disk, or of a folder that may not be entered
        raise UserError(f"{printable(path)}: cannot be read: {error.strerror or error}") from error
    try:
        stream = choose_stream(container, most_pixels)
    except UserError as error:
        container.close()
        raise unreadable(path, str(error)) from None
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


def unreadable(path: Path, received: str) -> UserError:
    """The error of a file that is not what it should be."""
    name = printable(path)
    return UserError(f"{name}: expected a video file, received {received}; check or re-encode it")


def reason_of(error: Exception) -> str:
    """What FFmpeg or the system says, in one line."""
    return str(getattr(error, "strerror", "") or error).splitlines()[0]
