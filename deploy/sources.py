"""Where frames come from: one iterable of `keras_ddl.video.Frame` per kind of source.

Files and finished downloads keep every frame and its own time stamp (PTS). Live sources (cameras,
`rtsp://`, endless `http://`) stamp a frame when it is captured and go through `deploy.live`,
which drops what is too old instead of falling behind.
"""

from __future__ import annotations

import re
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import numpy as np

from deploy.live import LiveQueue
from deploy.needs import need
from deploy.quiet import quiet_stderr
from keras_ddl.errors import MISSING, USAGE, UserError
from keras_ddl.video import Frame, probe, read_video

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")
SECRET_WORDS = ("auth", "key", "pass", "pwd", "secret", "sig", "token")
HIDDEN = "***"
DEFAULT_FPS = 25.0
TIMEOUT_S = (5.0, 5.0)  # to connect, to read
PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
STILL_MS = 2000.0  # a picture is shown this long


class Source(ABC):
    """A context manager that yields frames once.

    Attributes:
        name: For logs and outputs; credentials are already hidden.
        live: Time passes whether or not frames are read.
        still: One picture, over and over: nothing can be seen over time.
        fps: Nominal frames per second.
        length: Expected number of frames; None where unknown.
        dropped: Frames thrown away because they were too old (live sources only).
    """

    name: str
    live: bool
    still: bool = False
    fps: float = DEFAULT_FPS
    length: int | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order."""

    @property
    def dropped(self) -> int:
        return 0

    def interrupt(self) -> None:
        """End the iteration soon, also while waiting for a frame; safe in a signal handler."""
        return None

    def close(self) -> None:
        """Release device, file or connection."""
        return None

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


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


class FileSource(Source):
    """A video file; every frame, at its own time stamp."""

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        info = probe(path)
        self.fps = info.fps or DEFAULT_FPS
        self.length = info.frames or None

    def __iter__(self) -> Iterator[Frame]:
        return iter(read_video(self._path))


class StillSource(Source):
    """A picture, shown for two seconds."""

    live = False
    still = True

    def __init__(self, path: Path) -> None:
        cv2 = need("cv2", "reading a picture")
        self.name = str(path)
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            raise UserError(f"{path}: expected a picture, received {error.strerror}") from error
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
        if image is None:
            raise UserError(f"{path}: expected a picture, received a file that is none; check it")
        self._image = np.ascontiguousarray(image[..., ::-1])
        self.length = round(STILL_MS * DEFAULT_FPS / 1000)

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self.length or 0):
            yield Frame(self._image, index * 1000 / DEFAULT_FPS, index)


class CameraSource(Source):
    """A camera by index, through OpenCV."""

    live = True

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        present = list_cameras()
        if sys.platform == "linux" and index not in present:
            raise _no_camera(index, present)
        cv2 = need("cv2", "reading a camera")
        with quiet_stderr():
            capture = cv2.VideoCapture(index)
        if not capture.isOpened():
            raise _no_camera(index, present)
        self._capture = capture
        self.fps = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS
        self._queue = LiveQueue(self._grab)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._queue)

    @property
    def dropped(self) -> int:
        return self._queue.dropped

    def interrupt(self) -> None:
        self._queue.interrupt()

    def close(self) -> None:
        """Stop the reading thread, then release the device."""
        if self._queue.close():
            self._capture.release()

    def _grab(self) -> Iterator[Frame]:
        start = time.monotonic()
        index = 0
        while self._capture.grab():
            now_ms = (time.monotonic() - start) * 1000.0
            ok, bgr = self._capture.retrieve()
            if not ok:
                return
            yield Frame(bgr[..., ::-1].copy(), now_ms, index)
            index += 1


class UrlSource(Source):
    """A network stream through FFmpeg; `http` is live unless the file states a duration."""

    def __init__(self, url: str) -> None:
        self.name = redact(url)
        av = need("av", "reading a network stream")
        options = {"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}
        try:
            self._container = av.open(url, timeout=TIMEOUT_S, options=options)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot open {self.name}: {_reason(error)}", MISSING) from error
        if not self._container.streams.video:
            self._container.close()
            raise UserError(f"expected a video stream at {self.name}, found none", USAGE)
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self.live = url.startswith("rtsp") or self._container.duration is None
        self.fps = float(self._stream.average_rate or DEFAULT_FPS)
        self.length = None if self.live else (self._stream.frames or None)
        self._queue = LiveQueue(self._decode) if self.live else None

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._queue) if self._queue else self._decode()

    @property
    def dropped(self) -> int:
        return self._queue.dropped if self._queue else 0

    def interrupt(self) -> None:
        if self._queue:
            self._queue.interrupt()

    def close(self) -> None:
        """Stop the reading thread, then close the connection."""
        if self._queue is None or self._queue.close():
            self._container.close()

    def _decode(self) -> Iterator[Frame]:
        import av.error

        start = time.monotonic()
        first: float | None = None
        try:
            for index, picture in enumerate(self._container.decode(self._stream)):
                now = time.monotonic() - start if self.live else (picture.time or 0.0)
                first = now if first is None else first
                yield Frame(picture.to_ndarray(format="rgb24"), (now - first) * 1000.0, index)
        except av.error.FFmpegError as error:
            raise UserError(f"lost {self.name}: {_reason(error)}", MISSING) from error


def list_cameras() -> dict[int, Path]:
    """Camera device files present, by index (Linux; empty elsewhere)."""
    found = sorted(Path("/dev").glob("video[0-9]*"))
    return {int(path.name[5:]): path for path in found if path.name[5:].isdigit()}


def redact(url: str) -> str:
    """Hide user, password and secret-looking query values of a URL."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")
    netloc = f"{HIDDEN}@{place[2]}" if place[1] else parts.netloc
    query = [
        (name, HIDDEN if any(word in name.lower() for word in SECRET_WORDS) else value)
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    ]
    return urlunsplit((parts.scheme, netloc, parts.path, urlencode(query, safe="*"), ""))


def _no_camera(index: int, present: dict[int, Path]) -> UserError:
    there = ", ".join(str(path) for path in present.values()) or "no /dev/video* devices"
    message = f"cannot open camera {index}: found {there}; name another or use --source FILE"
    return UserError(message, MISSING)


def _reason(error: BaseException) -> str:
    """The system's words for an error, without the address it repeats."""
    return getattr(error, "strerror", None) or type(error).__name__
