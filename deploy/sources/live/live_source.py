"""A source that goes on by itself: connects, watches, loses, connects again."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import partial

from deploy.backoff import Backoff
from deploy.sources.base import DEFAULT_FPS, Health, Source, State
from deploy.sources.live.connection import Connection, Shot
from deploy.sources.live.freeze_watch import FROZEN_S, FreezeWatch
from deploy.sources.live.live_clock import LiveClock
from deploy.sources.live.live_queue import MAX_AGE_MS, LiveQueue
from deploy.sources.live.pulse import Pulse
from deploy.sources.live.rate_watch import RateWatch
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.video import Frame

STABLE_S = 10.0  # a connection that lasted so long was a good one: waits start over
FROM_HALF_A_SECOND = partial(Backoff, 0.5, 30.0)
NAP_S = 0.1  # how often one who waits looks whether the source was closed

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """How a live source is watched.

    Args:
        keep_trying: What a first connection that fails means: try again for ever, or an error
            where the frames are read. What was there once is always tried again.
        frozen_s: The same picture for so long is frozen, in seconds; 0 = never.
        max_age_ms: Bound on the age of a frame that waits to be read.
        backoff: Makes the waits between attempts, for each source its own.
        clock: Seconds that only grow.
        sleep: Waits for seconds.
        telemetry: Is told decoding times and how many frames wait.
    """

    keep_trying: bool = False
    frozen_s: float = FROZEN_S
    max_age_ms: float = MAX_AGE_MS
    backoff: Callable[[], Backoff] = FROM_HALF_A_SECOND
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    telemetry: NullTelemetry = field(default_factory=NullTelemetry)


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
        watch: Watch | None = None,
        fps: float = DEFAULT_FPS,
    ) -> None:
        self.name = name
        self.fps = fps
        self._connect = connect
        self.watch = watch or Watch()
        self._pulse = Pulse()
        self._backoff = self.watch.backoff()
        self._queue = LiveQueue(
            self._run, self.watch.max_age_ms, name=name, telemetry=self.watch.telemetry
        )
        self._said = ""  # the trouble that was logged last
        self._lost_at: float | None = None
        self._segment = 0
        self._index = 0
        self._last_ms = -1.0

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._queue)

    @property
    def health(self) -> Health:
        """How it is doing."""
        health = self._pulse.read({"stale": self._queue.dropped} if self._queue.dropped else None)
        done = health.state in (State.ENDED, State.FAILED)
        asked = self._queue.closed and not done
        return dataclasses.replace(health, state=State.STOPPED) if asked else health

    def interrupt(self) -> None:
        """End the iteration soon."""
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
                    self._pulse.update(state=State.ENDED)
                    return
                self._lose(trouble, self.watch.clock() - started)
        except Exception as error:  # of others' errors the kind alone: they may hold addresses
            text = str(error) if isinstance(error, UserError) else type(error).__name__
            self._pulse.update(state=State.FAILED, error=text)
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
        seen = self._pulse.read().frames
        trouble = trouble or f"{self.name}: {'the stream ended' if seen else 'no picture came'}"
        if seen and self._lost_at is None:
            self._lost_at = self.watch.clock()
            self._pulse.update(state=State.RECONNECTING)
        if lasted_s >= STABLE_S:
            self._backoff.reset()
        self._suffer(UserError(trouble, MISSING))

    def _suffer(self, error: UserError) -> None:
        """Make an attempt's failure known, and wait before the next; raise it where it is final."""
        text = str(error)
        if not self.watch.keep_trying and not self._pulse.read().frames:
            raise error
        self._pulse.update(error=text)
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
        for shot in connection.shots(self._pulse.drop):
            now = self.watch.clock()
            moment = place.place(shot.pts_ms, now)
            self._pause(moment - now)
            if self._queue.closed:
                return
            time_ms = (moment - (self.epoch or 0.0)) * 1000.0
            self._note(shot)
            if time_ms <= self._last_ms:
                self._pulse.drop("disorder")
                continue
            was_frozen, frozen = frozen, freeze.push(shot.image, now)
            if frozen:
                self._freeze(was_frozen)
                continue
            changed = rate.push(time_ms) or shape not in ((), shot.image.shape)
            self._segment += was_frozen or changed
            self._last_ms, shape = time_ms, shot.image.shape
            self._run_again(was_frozen)
            yield Frame(shot.image, time_ms, self._index, self._segment)
            self._index += 1

    def _note(self, shot: Shot) -> None:
        """Count a picture; the first one after a loss ends it."""
        self.watch.telemetry.observe("decode", shot.decode_s, self.name)
        if self._lost_at is not None:
            away_s = self.watch.clock() - self._lost_at
            log.info("%s is back after %.0f s", self.name, away_s)
            self._pulse.update(reconnects=self._pulse.read().reconnects + 1)
            self._lost_at, self._said = None, ""
            self._segment += 1
        self._pulse.frame(shot.image)

    def _freeze(self, already: bool) -> None:
        self._pulse.drop("frozen")
        if not already:
            self._pulse.update(state=State.FROZEN, error=f"{self.name}: the same picture")
            log.warning("%s is frozen: the same picture again and again", self.name)

    def _run_again(self, was_frozen: bool) -> None:
        if was_frozen:
            log.info("%s moves again", self.name)
        if self._pulse.read().state is not State.RUNNING:
            self._pulse.update(state=State.RUNNING)
