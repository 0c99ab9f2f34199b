"""A source that goes on by itself: connects, watches, loses, connects again; and its queue."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from enum import Enum

from deploy.sources.base import DEFAULT_FPS, Health, HealthTracker, Source, State
from deploy.sources.live.connection import Connection, Shot
from deploy.sources.live.interrupts import ended_by
from deploy.sources.live.watches import MAX_AGE_MS, FreezeWatch, LiveClock, RateWatch, Watch
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.video import Frame

STABLE_S = 10.0  # a connection that lasted so long was a good one: waits start over
NAP_S = 0.1  # how often one who waits looks whether the source was closed
MAX_FRAMES = 30  # 28 MB of 640×480
CLOSE_S = 1.5
POLL_S = 0.2  # how often one who waits looks whether it was closed

log = logging.getLogger(__name__)


class DropPolicy(Enum):
    """The fate of frames that cannot be handled in time."""

    BACKLOG = "backlog"  # keep up with the present: all that wait go, but the newest
    NONE = "none"  # every frame counts: the source waits


class FrameQueue:
    """A generator of frames that runs on a thread of its own, and the frames that wait.

    Live, no frame waits longer than `max_age_ms` behind the newest one. When one would, all that
    wait are dropped and counted: a slow machine then loses some clips (a gap breaks a clip) and
    gets the ones between, whole. Dropping one frame here and one there would break every clip.

    Args:
        grab: Makes the generator; it runs on the reading thread and blocks there.
        name: Of the source, for telemetry.
        telemetry: Is told how many frames wait, as "frames NAME".
        policy: What to do when frames wait too long, or are too many.
        max_age_ms: Bound on the age of a waiting live frame.
        max_frames: Bound on their number.
    """

    def __init__(
        self,
        grab: Callable[[], Generator[Frame, None, None]],
        name: str,
        telemetry: NullTelemetry,
        policy: DropPolicy,
        max_age_ms: float = MAX_AGE_MS,
        max_frames: int = MAX_FRAMES,
    ) -> None:
        self.dropped = 0
        self.ended = False
        self.closed = False
        self._grab = grab
        self._name = name
        self._telemetry = telemetry
        self._policy = policy
        self._max_age_ms = max_age_ms
        self._max_frames = max_frames
        self._waiting: deque[Frame] = deque()
        self._ready = threading.Condition()
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None
        self._closed_at = 0.0

    def __iter__(self) -> Iterator[Frame]:
        if self._thread is None:
            name = f"capture {self._name}"
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
                while len(self._waiting) >= self._max_frames and not self.closed:
                    self._ready.wait(POLL_S)
            elif self._waiting and (
                frame.time_ms - self._waiting[0].time_ms > self._max_age_ms
                or len(self._waiting) >= self._max_frames
            ):
                self.dropped += len(self._waiting)
                self._waiting.clear()
            self._waiting.append(frame)
            self._tell()

    def _tell(self) -> None:
        """Announce a change of the waiting frames; the lock is held."""
        self._telemetry.depth(f"frames {self._name}", len(self._waiting))
        self._ready.notify_all()


class LiveSource(Source):
    """A camera or stream that is opened, read and closed on a thread of its own.

    Making one never blocks: the first connection is made when the frames are first asked for, in
    the background. A new segment starts after a loss, after a freeze, and where size or rate
    change. `time_ms` is the capture clock, counted from `epoch`.

    Args:
        name: For logs and outputs, without credentials.
        connect: Opens a connection; raises a UserError without credentials.
        watch: How it is watched.
        fps: Nominal frames per second as long as nothing is known.
    """

    live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        watch: Watch,
        fps: float = DEFAULT_FPS,
    ) -> None:
        self.name = name
        self.fps = fps
        self._connect = connect
        self.watch = watch
        self._health = HealthTracker()
        self._backoff = self.watch.backoff()
        telemetry, max_age_ms = self.watch.telemetry, self.watch.max_age_ms
        self._queue = FrameQueue(self._run, name, telemetry, DropPolicy.BACKLOG, max_age_ms)
        self._said = ""  # the trouble that was logged last
        self._lost_at: float | None = None
        self._segment = 0
        self._index = 0
        self._last_ms = -1.0

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._queue)

    @property
    def health(self) -> Health:
        health = self._health.read()
        if self._queue.dropped:
            health.dropped["stale"] = self._queue.dropped
        done = health.state in (State.ENDED, State.FAILED)
        asked = self._queue.closed and not done
        return dataclasses.replace(health, state=State.STOPPED) if asked else health

    def interrupt(self) -> None:
        self._queue.interrupt()

    def close(self) -> None:
        """Stop the capture thread, which releases device or connection itself."""
        if not self._queue.close():
            log.info("%s hangs and is left to itself", self.name)

    def _run(self) -> Generator[Frame, None, None]:
        """Everything that happens on the capture thread."""
        self.epoch = self.watch.clock()
        try:
            while (connection := self._connected()) is not None:
                started, trouble = self.watch.clock(), ""
                try:
                    yield from self._frames(connection)
                except UserError as error:
                    trouble = str(error)
                finally:
                    connection.close()
                over = connection.ends and not trouble and self._index > 0
                if over and not self._queue.closed:
                    self._health.update(state=State.ENDED)
                    return
                self._lose(trouble, self.watch.clock() - started)
        except Exception as error:  # of others' errors the kind alone: they may hold addresses
            text = str(error) if isinstance(error, UserError) else type(error).__name__
            self._health.update(state=State.FAILED, error=text)
            raise

    def _connected(self) -> Connection | None:
        """Connect, however long it takes; None when the source was closed."""
        while not self._queue.closed:
            try:
                return self._connect()
            except UserError as error:
                self._suffer(error)
        return None

    def _lose(self, trouble: str, lasted_s: float) -> None:
        if self._queue.closed:
            return
        seen = self._health.read().frames
        trouble = trouble or f"{self.name}: {'the stream ended' if seen else 'no picture came'}"
        if seen and self._lost_at is None:
            self._lost_at = self.watch.clock()
            self._health.update(state=State.RECONNECTING)
        if lasted_s >= STABLE_S:
            self._backoff.reset()
        self._suffer(UserError(trouble, MISSING))

    def _suffer(self, error: UserError) -> None:
        """Make an attempt's failure known, and wait before the next; raise it where it is final."""
        text = str(error)
        if not self.watch.keep_trying and not self._health.read().frames:
            raise error
        self._health.update(error=text)
        if text != self._said:  # a line per change, not per attempt
            self._said = text
            log.warning("%s; trying again", text)
        self._pause(self._backoff.next_s())

    def _pause(self, seconds: float) -> None:
        end = self.watch.clock() + seconds
        while not self._queue.closed and (left := end - self.watch.clock()) > 0.0:
            self.watch.sleep(min(NAP_S, left))

    def _frames(self, connection: Connection) -> Generator[Frame, None, None]:
        """Go through one connection."""
        self.fps = connection.fps
        place, freeze = LiveClock(connection.paced), FreezeWatch(self.watch.frozen_s)
        rate = RateWatch()
        frozen, shape = False, ()
        for shot in connection.shots(self._health.drop):
            now = self.watch.clock()
            moment = place.place(shot.pts_ms, now)
            self._pause(moment - now)
            if self._queue.closed:
                return
            time_ms = (moment - (self.epoch or 0.0)) * 1000.0
            self._note(shot)
            if time_ms <= self._last_ms:
                self._health.drop("disorder")
                continue
            was_frozen, frozen = frozen, freeze.push(shot.image, now)
            if frozen:
                self._freeze(was_frozen)
                continue
            changed = rate.push(time_ms) or shape not in ((), shot.image.shape)
            self._segment += was_frozen or changed
            self._last_ms, shape = time_ms, shot.image.shape
            self._run_again(was_frozen)
            yield Frame(shot.image, time_ms, self._index, self._segment, shot.damaged)
            self._index += 1

    def _note(self, shot: Shot) -> None:
        """Count a picture; the first one after a loss ends it."""
        self.watch.telemetry.observe("decode", shot.decode_s, self.name)
        if self._lost_at is not None:
            away_s = self.watch.clock() - self._lost_at
            log.info("%s is back after %.0f s", self.name, away_s)
            self._health.update(reconnects=self._health.read().reconnects + 1)
            self._lost_at, self._said = None, ""
            self._segment += 1
        self._health.frame(shot.image)

    def _freeze(self, already: bool) -> None:
        self._health.drop("frozen")
        if not already:
            self._health.update(state=State.FROZEN, error=f"{self.name}: the same picture")
            log.warning("%s is frozen: the same picture again and again", self.name)

    def _run_again(self, was_frozen: bool) -> None:
        if was_frozen:
            log.info("%s moves again", self.name)
        if self._health.read().state is not State.RUNNING:
            self._health.update(state=State.RUNNING)
