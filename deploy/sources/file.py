"""A video file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deploy.sources.base import DEFAULT_FPS, Source
from keras_ddl.video import Frame, probe, read_video


class FileSource(Source):
    """A video file; every frame, at its own time stamp."""

    live = False

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        info = probe(path)
        self.fps = info.fps or DEFAULT_FPS
        self.length = info.frames or None

    def __iter__(self) -> Iterator[Frame]:
        return iter(read_video(self._path))
