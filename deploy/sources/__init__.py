"""Where frames come from: one iterable of `keras_ddl.video.Frame` per kind of source.

Files and finished downloads keep every frame and its own time stamp (PTS). Live sources (cameras,
`rtsp://`, endless `http://`) stamp a frame when it is captured and drop what is too old instead of
falling behind.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from deploy.sources.base import DEFAULT_FPS, Source
from deploy.sources.camera import CameraSource
from deploy.sources.file import FileSource
from deploy.sources.redact import redact
from deploy.sources.still import PICTURES, StillSource
from deploy.sources.url import UrlSource
from keras_ddl.errors import USAGE, UserError

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")

__all__ = ["DEFAULT_FPS", "Source", "check_source", "is_live", "open_source", "redact"]


def is_live(text: str) -> bool:
    """Whether an address names something that does not wait; a guess for `http://`."""
    return bool(re.fullmatch(r"(?:/dev/video)?\d+", text)) or "://" in text


def check_source(text: str) -> None:
    """Refuse at once what `open_source` would refuse; networks are not asked.

    Raises:
        UserError: no such camera (3), no such file, not a video, not an address (2).
    """
    if urlsplit(text).scheme not in URL_SCHEMES:
        open_source(text).close()


def open_source(text: str) -> Source:
    """Open a camera ("0", "/dev/video0"), a URL, a video file or a picture.

    Raises:
        UserError: no such camera or no connection (3); no such file or not a video (2).
    """
    device = re.fullmatch(r"(?:/dev/video)?(\d+)", text)
    if device:
        return CameraSource(int(device[1]))
    scheme = urlsplit(text).scheme if "://" in text else ""
    if scheme in URL_SCHEMES:
        return UrlSource(text)
    if scheme:
        known = ", ".join(f"{name}://" for name in URL_SCHEMES)
        raise UserError(f"expected a camera index, a file or {known}, received {scheme}://", USAGE)
    path = Path(text)
    return StillSource(path) if path.suffix.lower() in PICTURES else FileSource(path)
