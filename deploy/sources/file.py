"""A video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.sources.base import DEFAULT_FPS
from deploy.sources.recorded_source import RecordedSource
from keras_ddl.edge.video import Frame, probe, read_video
from keras_ddl.edge.video.container import MOST_PIXELS
from keras_ddl.edge.video.decoder import CPU, Decoder


class FileSource(RecordedSource):
    """A video file; every frame, at its own time stamp. What is damaged is skipped and counted."""

    def __init__(
        self, path: Path, name: str = "", most_pixels: int = MOST_PIXELS, device: str = CPU
    ) -> None:
        super().__init__(name or str(path))
        self.decoder = Decoder(device, self.name)
        self._path, self._most_pixels = path, most_pixels
        info = probe(path, most_pixels)
        self.fps = info.fps or DEFAULT_FPS
        self.length = info.frames or None

    def _frames(self) -> Iterator[Frame]:
        return read_video(self._path, self._health.dropped, self._most_pixels, self.decoder)
