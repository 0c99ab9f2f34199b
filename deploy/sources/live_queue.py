"""A bounded queue between a live source and the pipeline: late frames are dropped, not piled up."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum

from keras_ddl.video import Frame

MAX_AGE_MS = 1000.0
CLOSE_S = 2.0
POLL_S = 0.2  # how often a waiting reader looks whether it was closed


class DropPolicy(Enum):
    """What happens to frames that cannot be handled in time."""

    OLDEST = "oldest"  # keep up with the present: the oldest waiting frame goes


class LiveQueue:
    """Run a generator of frames on its own thread and hand the frames over.

    No frame waits longer than `max_age_ms` behind the newest one; those that would are dropped and
    counted, so a slow machine loses clips (a gap breaks a clip) but never lags further and further.

    Args:
        grab: Makes the generator; it runs on the reading thread and blocks there.
        max_age_ms: Bound on the age of a waiting frame.
    """

    policy = DropPolicy.OLDEST

    def __init__(self, grab: Callable[[], Iterator[Frame]], max_age_ms: float = MAX_AGE_MS) -> None:
        self.dropped = 0
        self._grab = grab
        self._max_age_ms = max_age_ms
        self._waiting: deque[Frame] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self.ended = False
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    def __iter__(self) -> Iterator[Frame]:
        if self._thread is None:
            self._thread = threading.Thread(target=self._read, name="capture", daemon=True)
            self._thread.start()
        while (frame := self._next()) is not None:
            yield frame
        if self._error is not None:
            raise self._error

    def interrupt(self) -> None:
        """End the iteration soon; safe to call from a signal handler."""
        self._closed = True

    def close(self) -> bool:
        """Stop reading; returns whether the thread has ended within two seconds.

        Where it has not, it hangs in the driver: what it reads from must not be released then.
        """
        with self._ready:
            self._closed = True
            self._ready.notify_all()
        if self._thread is None:
            return True
        self._thread.join(CLOSE_S)
        return not self._thread.is_alive()

    def _next(self) -> Frame | None:
        with self._ready:
            while not (self._waiting or self.ended or self._closed):
                self._ready.wait(POLL_S)
            return self._waiting.popleft() if self._waiting and not self._closed else None

    def _read(self) -> None:
        try:
            for frame in self._grab():
                if self._closed:
                    break
                self._put(frame)
        except Exception as error:  # raised again where the frames are read
            self._error = error
        finally:
            with self._ready:
                self.ended = True
                self._ready.notify_all()

    def _put(self, frame: Frame) -> None:
        with self._ready:
            self._waiting.append(frame)
            while frame.time_ms - self._waiting[0].time_ms > self._max_age_ms:
                self._waiting.popleft()
                self.dropped += 1
            self._ready.notify_all()
