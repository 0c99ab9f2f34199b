"""Containers: which formats and protocols FFmpeg may open, and which stream of one is the video.

FFmpeg reads scripts and playlists too, which name other files; a file is opened only as what holds
pictures itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keras_ddl.edge.errors import UserError

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

# FFmpeg's names of demuxers.
FORMATS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg"),
    *("mpegvideo", "flv", "live_flv", "asf", "asf_o", "ogg", "nut", "mxf", "rm", "wtv", "dv"),
    *("ivf", "h264", "hevc", "av1", "obu", "m4v", "vc1", "yuv4mpegpipe", "gif", "y4m", "swf"),
)
LIVE_FORMATS = ("rtsp", "sdp", "rtp", "hls", "mpjpeg", "mjpeg", "mjpeg_2000", "jpeg_pipe")
# What a stream may in turn be read through; never "file", so that a playlist names no local file.
PROTOCOLS = {
    "http": "http,https,httpproxy,tcp,tls,crypto,data",
    "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,crypto",
}
_NO_PICTURES = 0x0400 | 0x0800  # FFmpeg's ATTACHED_PIC and TIMED_THUMBNAILS
_DEFAULT = 0x0001

STILLS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1", b"avif", b"avis")
"""Brands of such files."""
SCRIPTS = {b"ffconcat": "a script that names other files", b"#EXTM3U": "a playlist of other files"}
"""How files begin that are refused, and what they are called."""


def file_options() -> dict[str, str]:
    """Options with which FFmpeg opens a file, and nothing that the file names."""
    return {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}


def url_options(url: str) -> dict[str, str]:
    """Options with which FFmpeg opens an address, and nothing but streams that it names."""
    kind = "rtsp" if url.lower().startswith("rtsp") else "http"
    formats = ",".join((*FORMATS, *LIVE_FORMATS))
    return {"format_whitelist": formats, "protocol_whitelist": PROTOCOLS[kind]}


def is_still(path: Path) -> bool:
    """Whether a file is a picture in a container of video, of which FFmpeg shows single tiles."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" and start[8:12] in STILLS


MOST_PIXELS = 100_000_000
"""Of a picture, still or moving: three bytes each, a few times over, are what is held."""


def size_fault(width: int, height: int, most_pixels: int) -> str:
    """What is wrong with the size of a picture; "" for nothing."""
    if width * height <= most_pixels:
        return ""
    most = most_pixels / 1e6
    return f"{width} × {height}, more than the {most:g} million pixels that are let in"


def choose_stream(container: InputContainer, most_pixels: int = MOST_PIXELS) -> VideoStream:
    """The stream that a player shows: of those marked as default, else of all, the largest.

    Streams of unknown codecs are none where there are others, cover pictures and thumbnails never.
    The others are told to be left out.

    Args:
        container: An open file or stream.
        most_pixels: Larger pictures are not decoded, in the middle of a stream neither.

    Raises:
        UserError: there is no video stream, or none of a known codec, or its pictures are too
            large; names what there is instead.
    """
    streams = [s for s in container.streams.video if not int(s.disposition) & _NO_PICTURES]
    if not streams:
        kinds = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
        raise UserError(f"a file without a video stream (only {kinds})")
    streams = [s for s in streams if s.codec_context is not None]
    if not streams:
        raise UserError("a video stream of a codec that FFmpeg does not know")
    default = [s for s in streams if int(s.disposition) & _DEFAULT]
    chosen = max(default or streams, key=lambda s: (s.width or 0) * (s.height or 0))
    if fault := size_fault(chosen.width or 0, chosen.height or 0, most_pixels):
        raise UserError(f"pictures of {fault}")
    chosen.codec_context.options = {"max_pixels": str(most_pixels)}
    for stream in container.streams:
        if stream is not chosen and hasattr(stream, "discard"):
            stream.discard = type(stream.discard).all
    return chosen
