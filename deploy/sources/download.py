"""A video file on a web server."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from deploy.sources.base import Health, HealthTracker, Source, State
from deploy.sources.live.live_source import DropPolicy, FrameQueue
from deploy.sources.url import UrlConnection
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame


class DownloadSource(Source):
    """Every frame of a file behind an address, at its own time stamp; the reader sets the pace.

    Args:
        name: For logs and outputs, without credentials.
        connect: Opens the connection.
        telemetry: Is told decoding times and how many frames wait.
    """

    live = False

    def __init__(
        self,
        name: str,
        connect: Callable[[], UrlConnection],
        telemetry: NullTelemetry,
    ) -> None:
        self.name = name
        self._connect = connect
        self._telemetry = telemetry
        self._health = HealthTracker()
        self._queue = FrameQueue(self._run, name, telemetry, DropPolicy.NONE)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._queue)

    @property
    def health(self) -> Health:
        """How it is doing."""
        return self._health.read()

    def interrupt(self) -> None:
        """End the iteration soon."""
        self._queue.interrupt()

    def close(self) -> None:
        """Stop the reading thread, which closes the connection itself."""
        self._queue.close()

    def _run(self) -> Generator[Frame, None, None]:
        """Everything that happens on the reading thread."""
        try:
            connection = self._connect()
            self.fps, self.length = connection.fps, connection.length
            self._health.update(state=State.RUNNING)
            try:
                yield from self._frames(connection)
            finally:
                connection.close()
        except UserError as error:
            self._health.update(state=State.FAILED, error=str(error))
            raise
        self._health.update(state=State.ENDED)

    def _frames(self, connection: UrlConnection) -> Generator[Frame, None, None]:
        index, first_ms, last_ms = 0, 0.0, -1.0
        for shot in connection.shots(self._health.drop):
            self._telemetry.observe("decode", shot.decode_s, self.name)
            self._health.frame(shot.image)
            pts_ms = shot.pts_ms if shot.pts_ms is not None else index * 1000.0 / self.fps
            first_ms = first_ms if index else pts_ms
            if pts_ms - first_ms <= last_ms:
                self._health.drop("disorder")
                continue
            last_ms = pts_ms - first_ms
            yield Frame(shot.image, last_ms, index)
            index += 1
