"""A network stream."""

from __future__ import annotations

import time
from collections.abc import Iterator

from deploy.needs import need
from deploy.sources.base import DEFAULT_FPS, Health, Source, State
from deploy.sources.live_queue import LiveQueue
from deploy.sources.redact import redact
from keras_ddl.errors import MISSING, USAGE, UserError
from keras_ddl.video import Frame

TIMEOUT_S = (5.0, 5.0)  # to connect, to read


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
    def health(self) -> Health:
        stale = {"stale": self._queue.dropped} if self._queue else {}
        return Health(State.RUNNING, dropped=stale)

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


def _reason(error: BaseException) -> str:
    """The system's words for an error, without the address it repeats."""
    return getattr(error, "strerror", None) or type(error).__name__
