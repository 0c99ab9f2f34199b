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
            index = 0
            for shot in connection.shots(self._health.drop):
                moment = connection.timeline.moment(shot.pts_ms)
                if moment is None:
                    self._health.drop("disorder")
                    continue
                yield Frame(shot.image, moment.time_ms, index, moment.segment, shot.damaged)
                index += 1
