"""A video file on a web server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from deploy.sources.recorded_source import RecordedSource
from deploy.sources.url import UrlConnection
from keras_ddl.edge.video import Frame


class DownloadSource(RecordedSource):
    """Every frame of a file behind an address, at its own time stamp; the reader sets the pace.

    Args:
        name: For logs and outputs, without credentials.
        connect: Opens the connection.
    """

    def __init__(self, name: str, connect: Callable[[], UrlConnection]) -> None:
        super().__init__(name)
        self._connect = connect

    def _frames(self) -> Iterator[Frame]:
        with closing(self._connect()) as connection:
            self.fps, self.length = connection.fps, connection.length
            index, first_ms, last_ms = 0, 0.0, -1.0
            for shot in connection.shots(self._health.drop):
                pts_ms = shot.pts_ms if shot.pts_ms is not None else index * 1000.0 / self.fps
                first_ms = first_ms if index else pts_ms
                if pts_ms - first_ms <= last_ms:
                    self._health.drop("disorder")
                    continue
                last_ms = pts_ms - first_ms
                yield Frame(shot.image, last_ms, index)
                index += 1
