"""A folder of pictures, one after another."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

from deploy.sources.base import DEFAULT_FPS
from deploy.sources.recorded_source import RecordedSource
from deploy.sources.still import PICTURES, read_picture
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame
from keras_ddl.edge.video.container import MOST_PIXELS

log = logging.getLogger(__name__)


class FolderSource(RecordedSource):
    """The pictures of a folder in the order of the numbers in their names, at a steady rate.

    Another size starts a new segment; a file that is no picture is skipped and counted.

    Args:
        path: The folder; folders in it are not looked into.
        fps: Pictures per second.
        name: For logs and outputs.
        most_pixels: Of a picture; larger ones are skipped.

    Raises:
        UserError: no picture in it.
    """

    def __init__(
        self,
        path: Path,
        fps: float = DEFAULT_FPS,
        name: str = "",
        most_pixels: int = MOST_PIXELS,
    ) -> None:
        super().__init__(name or str(path))
        files = [file for file in path.iterdir() if file.suffix.lower() in PICTURES]
        if not files:
            kinds = ", ".join(PICTURES)
            raise UserError(f"{path}: expected pictures ({kinds}), received a folder without any")
        self._files = sorted(files, key=_natural)
        self.fps, self._most_pixels = fps, most_pixels
        self.length = len(files)

    def _frames(self) -> Iterator[Frame]:
        segment, shape = 0, ()
        for index, file in enumerate(self._files):
            try:
                image = read_picture(file, self._most_pixels)
            except UserError as error:
                log.warning("%s; skipped", error)
                self._health.drop("corrupted")
                continue
            segment += shape not in ((), image.shape)
            shape = image.shape
            yield Frame(image, index * 1000.0 / self.fps, index, segment)


def _natural(path: Path) -> tuple[list[tuple[int, str]], str]:
    """2.png comes before 10.png."""
    parts = re.findall(r"\d+|\D+", path.name)
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], path.name
