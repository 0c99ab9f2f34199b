"""Sources of frames: one iterable of `keras_ddl.edge.video.Frame` per kind.

Recordings (files, folders, downloads) keep every frame and its own time. Live sources (cameras,
screens, `rtsp://`, endless `http://`) are opened and read on a thread of their own, stamp a frame
with the capture clock, drop what is too old instead of falling behind, and come back by themselves
when they were lost (docs/sources.md).
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from deploy.sources.base import DEFAULT_FPS, DEFAULT_LIMITS, Health, Limits, Source, State
from deploy.sources.camera import check_camera, connect_camera
from deploy.sources.csi import check_gstreamer, connect_csi, csi_pipeline
from deploy.sources.download import DownloadSource
from deploy.sources.file import FileSource
from deploy.sources.folder import FolderSource
from deploy.sources.live.live_source import LiveSource
from deploy.sources.live.watches import Watch
from deploy.sources.options import number, read_options
from deploy.sources.paced import PacedSource
from deploy.sources.redact import looks_mistyped, redact
from deploy.sources.screen.address import screen_plan
from deploy.sources.screen.capture import connect_screen
from deploy.sources.still import PICTURES, StillSource
from deploy.sources.synthetic import SyntheticConnection, SyntheticSource, synthetic_plan
from deploy.sources.url import connect_url
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video.decoder import CPU, Decoder

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")
SCHEMES = (*URL_SCHEMES, "csi", "screen", "synthetic")
RECORDINGS = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm")  # behind http(s)://
PICTURE_RATE = {"fps": number(0.0, 240.0)}

__all__ = [
    "DEFAULT_FPS",
    "Health",
    "Limits",
    "Source",
    "State",
    "Watch",
    "check_source",
    "is_live",
    "open_source",
    "redact",
]


def is_live(text: str) -> bool:
    """Whether what an address names does not wait for its reader; nothing is opened."""
    if "://" not in text:
        return bool(re.fullmatch(r"(?:/dev/video)?\d+", text)) and not _is_there(text)
    if text.lower().startswith("synthetic://"):
        return synthetic_plan(text).live
    return not _is_download(text)


def check_source(text: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Refuse at once what can never be watched, or is not there; networks are not asked.

    Raises:
        UserError: as `open_source`.
    """
    open_source(text, limits=limits).close()


def open_source(
    text: str,
    *,
    name: str = "",
    watch: Watch | None = None,
    realtime: bool = False,
    limits: Limits = DEFAULT_LIMITS,
    device: str = CPU,
) -> Source:
    """Make a source from its text; live ones connect when their frames are first asked for.

    Args:
        text: "0", "/dev/video0", "csi://0", "screen://0", "rtsp://…", "http://…",
            "synthetic://", a video file, a picture or a folder of pictures ("folder?fps=10").
        name: For logs and outputs; "" = the text without its credentials.
        watch: How a live source is watched.
        realtime: Pace a recording as it was recorded; live sources are as they are.
        limits: On the size of its pictures.
        device: What decodes files and streams: "cpu", or a device of `choose_decoder`.

    Raises:
        UserError: what can never be opened: no such file or not a video, an option that is none
            (2); no such camera or screen unless it is to be tried for ever, an OpenCV without
            GStreamer for `csi://`, a package that is missing (3).
    """
    source = _source(text, name, watch or Watch(), limits, device)
    return source if source.live or not realtime else PacedSource(source)


def _source(text: str, name: str, watch: Watch, limits: Limits, device: str) -> Source:
    if looks_mistyped(text) and not Path(text).exists():
        scheme = text.partition(":")[0].lower()
        raise UserError(f"expected {scheme}://…, received {redact(text)}", USAGE)
    camera = None if _is_there(text) else re.fullmatch(r"(?:/dev/video)?(\d+)", text)
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if camera:
        return _camera(int(camera[1]), name, watch)
    if scheme in URL_SCHEMES:
        return _url(text, name or redact(text), watch, limits, device)
    if scheme == "csi":
        return _csi(text, name or redact(text), watch)
    if scheme == "screen":
        return _screen(text, name or redact(text), watch, limits)
    if scheme == "synthetic":
        return _synthetic(text, name or redact(text), watch)
    if scheme:
        known = ", ".join(f"{known}://" for known in SCHEMES)
        raise UserError(f"expected a camera index, a file or {known}, received {scheme}://", USAGE)
    return _path(text, name, limits.most_pixels, device)


def _is_there(text: str) -> bool:
    """Whether a number is the name of a file or folder, which then goes before the camera's."""
    return text.isdecimal() and Path(text).exists()


def _camera(index: int, name: str, watch: Watch) -> LiveSource:
    shown = name or f"camera {index}"
    need("cv2", "reading a camera")
    if not watch.keep_trying:
        check_camera(index, shown)
    return LiveSource(shown, partial(connect_camera, index, shown), watch)


def _csi(text: str, name: str, watch: Watch) -> LiveSource:
    pipeline = csi_pipeline(text)
    check_gstreamer(need("cv2", "reading a camera"))
    return LiveSource(name, partial(connect_csi, pipeline, name), watch)


def _screen(text: str, name: str, watch: Watch, limits: Limits) -> LiveSource:
    connect = partial(connect_screen, screen_plan(text), name, limits)
    need("mss", "watching a screen", "screen")
    if not watch.keep_trying:
        connect().close()
    return LiveSource(name, connect, watch)


def _url(text: str, name: str, watch: Watch, limits: Limits, device: str) -> Source:
    need("av", "reading a network stream")
    decoder = Decoder(device, name)
    connect = partial(connect_url, text, name, limits, decoder)
    source: Source = (
        DownloadSource(name, connect) if _is_download(text) else LiveSource(name, connect, watch)
    )
    source.decoder = decoder
    return source


def _is_download(text: str) -> bool:
    if not text.lower().startswith("http"):
        return False
    try:
        path = urlsplit(text).path
    except ValueError:  # a password with a bracket in it, say; whether it can be read FFmpeg tells
        path = re.split("[?#]", text.rpartition("@")[2])[0]
    return Path(path).suffix.lower() in RECORDINGS


def _synthetic(text: str, name: str, watch: Watch) -> Source:
    plan = synthetic_plan(text)
    if plan.live:
        return LiveSource(name, partial(SyntheticConnection, plan), watch, plan.scene.fps)
    return SyntheticSource(plan, name)


def _path(text: str, name: str, most_pixels: int, device: str) -> Source:
    path, query = Path(text), ""
    if not path.exists() and "?" in text:
        path, query = Path(text.rpartition("?")[0]), text.rpartition("?")[2]
    if path.is_dir():
        options = read_options(str(path), query, PICTURE_RATE)
        return FolderSource(path, options.get("fps", DEFAULT_FPS), name, most_pixels)
    path = Path(text)
    if path.suffix.lower() in PICTURES:
        return StillSource(path, name, most_pixels)
    return FileSource(path, name, most_pixels, device)
