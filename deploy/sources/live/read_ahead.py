"""A recording read on a thread of its own, a few frames ahead of who judges them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator

from deploy.sources.base import Health, Source
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.video import Frame

AHEAD = 8  # frames
POLL_S = 0.2
CLOSE_S = 1.0


class ReadAhead(Source):
    """Decodes while others work; every frame counts, so the reader waits when eight are ahead.

    Args:
        source: A recording; it is closed with this.
        telemetry: Is told decoding times.
    """

    def __init__(self, source: Source, telemetry: NullTelemetry | None = None) -> None:
        self.name, self.live, self.still = source.name, source.live, source.still
        self._source = source
        self._telemetry = telemetry or NullTelemetry()
        self._waiting: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        self._ended = False
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def fps(self) -> float:  # type: ignore[override]
        """Of the recording."""
        return self._source.fps

    @property
    def length(self) -> int | None:  # type: ignore[override]
        """Of the recording."""
        return self._source.length

    @property
    def epoch(self) -> float | None:  # type: ignore[override]
        """Of the recording, where it is paced."""
        return self._source.epoch

    @property
    def health(self) -> Health:
        """Of the recording."""
        return self._source.health

    def __iter__(self) -> Iterator[Frame]:
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._read, name=f"capture {self.name}", daemon=True
            )
            self._thread.start()
        while (frame := self._next()) is not None:
            yield frame
        if self._error is not None:
            raise self._error

    def interrupt(self) -> None:
        """End the iteration soon."""
        self._stopped = True
        self._source.interrupt()

    def close(self) -> None:
        """Stop reading, then close the recording."""
        self.interrupt()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_S)
        if self._thread is None or not self._thread.is_alive():
            self._source.close()  # nobody reads from it any more

    def _next(self) -> Frame | None:
        with self._changed:
            while not (self._waiting or self._ended or self._stopped):
                self._changed.wait(POLL_S)
            if self._stopped or not self._waiting:
                return None
            frame = self._waiting.popleft()
            self._changed.notify_all()
            return frame

    def _read(self) -> None:
        frames = iter(self._source)
        try:
            while not self._stopped:
                with self._telemetry.measure("decode", self.name):
                    frame = next(frames, None)
                if frame is None:
                    break
                self._put(frame)
        except Exception as error:  # raised again where the frames are read
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, frame: Frame) -> None:
        with self._changed:
            while len(self._waiting) >= AHEAD and not self._stopped:
                self._changed.wait(POLL_S)
            self._waiting.append(frame)
            self._telemetry.depth(f"frames {self.name}", len(self._waiting))
            self._changed.notify_all()
