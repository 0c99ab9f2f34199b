"""Recordings: every frame, and an end; read where they are asked for, or ahead on a thread."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator

from deploy.sources.base import Health, HealthTracker, Source, State
from deploy.sources.live.live_source import DropPolicy, FrameQueue
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame

AHEAD = 8  # frames


class RecordedSource(Source):
    """Every frame at its own time, as fast as it is asked for; read on the caller's thread."""

    live = False

    def __init__(self, name: str) -> None:
        self.name = name
        self._health = HealthTracker()
        self._asked = False  # to end

    def __iter__(self) -> Iterator[Frame]:
        try:
            for frame in self._frames():
                if self._asked:
                    break
                self._health.frame(frame.image, state=State.RUNNING)
                yield frame
        except UserError as error:
            self._health.update(state=State.FAILED, error=str(error))
            raise
        self._health.update(state=State.STOPPED if self._asked else State.ENDED)

    @abstractmethod
    def _frames(self) -> Iterator[Frame]:
        """Yield the frames in order."""

    @property
    def health(self) -> Health:
        return self._health.read()

    def interrupt(self) -> None:
        """End the iteration with the next frame."""
        self._asked = True

    def close(self) -> None:
        """End the iteration; the file is closed with it."""
        self._asked = True


class SourceAround(Source):
    """A recording read in a manner of its own; what it tells of itself is the recording's.

    Args:
        source: A recording; it is closed with this.
    """

    live = False

    def __init__(self, source: Source) -> None:
        self.name, self.still, self.decoder = source.name, source.still, source.decoder
        self._source = source

    @property
    def fps(self) -> float:  # type: ignore[override]
        """Of the recording; a download knows it once it is connected."""
        return self._source.fps

    @property
    def length(self) -> int | None:  # type: ignore[override]
        """Of the recording, likewise."""
        return self._source.length

    @property
    def health(self) -> Health:
        return self._source.health


class ReadAhead(SourceAround):
    """A recording that is decoded on a thread of its own, a few frames ahead of its reader.

    Args:
        source: A recording; it is closed with this.
        telemetry: Is told decoding times and how many frames wait.
    """

    def __init__(self, source: Source, telemetry: NullTelemetry) -> None:
        super().__init__(source)
        self._telemetry = telemetry
        self._queue = FrameQueue(
            self._read, source.name, telemetry, DropPolicy.NONE, max_frames=AHEAD
        )

    @property
    def epoch(self) -> float | None:  # type: ignore[override]
        """Of the recording, where it is paced."""
        return self._source.epoch

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._queue)

    def interrupt(self) -> None:
        self._queue.interrupt()
        self._source.interrupt()

    def close(self) -> None:
        """Stop reading, then close the recording, unless its reader hangs."""
        self.interrupt()
        if self._queue.close():
            self._source.close()  # nobody reads from it any more

    def _read(self) -> Generator[Frame, None, None]:
        frames = iter(self._source)
        while True:
            with self._telemetry.measure("decode", self.name):
                frame = next(frames, None)
            if frame is None:
                return
            yield frame
