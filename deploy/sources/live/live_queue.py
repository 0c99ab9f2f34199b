"""A bounded queue between a source's own thread and who reads it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from enum import Enum

from deploy.sources.live.interrupts import ended_by
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.video import Frame

MAX_AGE_MS = 1000.0
MAX_FRAMES = 30  # 28 MB of 640×480
CLOSE_S = 1.5
POLL_S = 0.2  # how often one who waits looks whether it was closed


class DropPolicy(Enum):
    """What happens to frames that cannot be handled in time."""

    BACKLOG = "backlog"  # keep up with the present: all that wait go, but the newest
    NONE = "none"  # every frame counts: the source waits


class LiveQueue:
    """Run a generator of frames on its own thread and hand the frames over.

    Live, no frame waits longer than `max_age_ms` behind the newest one. When one would, all that
    wait are dropped and counted: a slow machine then loses some clips (a gap breaks a clip) and
    gets the ones between, whole. Dropping one frame here and one there would break every clip.

    Args:
        grab: Makes the generator; it runs on the reading thread and blocks there.
        max_age_ms: Bound on the age of a waiting frame.
        policy: What to do when frames wait too long.
        name: Of the source, for telemetry.
        telemetry: Is told how many frames wait, as "frames NAME".
    """

    def __init__(
        self,
        grab: Callable[[], Generator[Frame, None, None]],
        max_age_ms: float = MAX_AGE_MS,
        policy: DropPolicy = DropPolicy.BACKLOG,
        name: str = "",
        telemetry: NullTelemetry | None = None,
    ) -> None:
        self.dropped = 0
        self.ended = False
        self.closed = False
        self._grab = grab
        self._max_age_ms = max_age_ms
        self._policy = policy
        self._name = name
        self._telemetry = telemetry or NullTelemetry()
        self._waiting: deque[Frame] = deque()
        self._ready = threading.Condition()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self._closed_at = 0.0

    def __iter__(self) -> Iterator[Frame]:
        if self._thread is None:
            name = f"capture {self._name}".strip()
            thread = threading.Thread(target=self._read, name=name, daemon=True)
            thread.start()
            self._thread = thread  # only now may another thread wait for it
        while (frame := self._next()) is not None:
            yield frame
        if self._error is not None and not self.closed:
            raise self._error

    def interrupt(self) -> None:
        """End the iteration soon; takes no lock, so that a signal handler may call it."""
        if not self.closed:
            self._closed_at = time.monotonic()
            self.closed = True

    def close(self) -> bool:
        """Stop reading; returns whether the thread has ended 1.5 s after the first request.

        Where it has not, it hangs in a driver or on the network and is left to itself: it ends,
        and releases what it reads from, when that returns. Several queues that are interrupted
        first and closed then share these 1.5 s.
        """
        self.interrupt()
        if self._thread is None:
            return True
        self._thread.join(max(0.0, self._closed_at + CLOSE_S - time.monotonic()))
        return not self._thread.is_alive()

    def _next(self) -> Frame | None:
        with self._ready:
            while not (self._waiting or self.ended or self.closed):
                self._ready.wait(POLL_S)
            if self.closed or not self._waiting:
                return None
            frame = self._waiting.popleft()
            self._tell()
            return frame

    def _read(self) -> None:
        try:
            with ended_by(lambda: self.closed), closing(self._grab()) as frames:
                for frame in frames:
                    if self.closed:
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
            if self._policy is DropPolicy.NONE:
                while len(self._waiting) >= MAX_FRAMES and not self.closed:
                    self._ready.wait(POLL_S)
            elif self._waiting and (
                frame.time_ms - self._waiting[0].time_ms > self._max_age_ms
                or len(self._waiting) >= MAX_FRAMES
            ):
                self.dropped += len(self._waiting)
                self._waiting.clear()
            self._waiting.append(frame)
            self._tell()

    def _tell(self) -> None:
        """Announce a change of the waiting frames; the lock is held."""
        self._telemetry.depth(f"frames {self._name}".strip(), len(self._waiting))
        self._ready.notify_all()
