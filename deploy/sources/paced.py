"""Real-time playback of a recording: `--realtime`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from deploy.sources.base import Source
from deploy.sources.recorded_source import SourceAround
from keras_ddl.edge.video import Frame

NAP_S = 0.1  # how often one who waits looks whether the source was closed


class PacedSource(SourceAround):
    """A recording whose frames come when they are due, not before; every frame comes.

    Args:
        source: A recording.
        clock: Seconds that only grow.
        sleep: Waits for seconds.
    """

    def __init__(
        self,
        source: Source,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(source)
        self._clock = clock
        self._sleep = sleep
        self._asked = False

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            if self.epoch is None:
                self.epoch = self._clock() - frame.time_ms / 1000.0
            due = self.epoch + frame.time_ms / 1000.0
            while not self._asked and (left := due - self._clock()) > 0.0:
                self._sleep(min(NAP_S, left))
            if self._asked:
                return
            yield frame

    def interrupt(self) -> None:
        self._asked = True
        self._source.interrupt()

    def close(self) -> None:
        self._asked = True
        self._source.close()
