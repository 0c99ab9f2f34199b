"""A picture."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deploy.sources.base import DEFAULT_FPS
from deploy.sources.picture_header import read_header
from deploy.sources.recorded_source import RecordedSource
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video import Frame
from keras_ddl.edge.video.container import MOST_PIXELS, size_fault

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
HEADER_BYTES = 1 << 20
STILL_MS = 2000.0  # a picture is shown this long
REMEDY = "make it smaller, or raise --max-megapixels"
LEAST_SIDE = 16  # pixels; no face is smaller

log = logging.getLogger(__name__)


class StillSource(RecordedSource):
    """A picture, shown for two seconds."""

    still = True

    def __init__(self, path: Path, name: str = "", most_pixels: int = MOST_PIXELS) -> None:
        super().__init__(name or str(path))
        self._image = read_picture(path, most_pixels)
        self.length = round(STILL_MS * DEFAULT_FPS / 1000)

    def _frames(self) -> Iterator[Frame]:
        for index in range(self.length or 0):
            yield Frame(self._image, index * 1000 / DEFAULT_FPS, index)


def read_picture(path: Path, most_pixels: int = MOST_PIXELS) -> np.ndarray:
    """Return a picture, uint8 (H, W, 3) RGB.

    Raises:
        UserError: not a picture that OpenCV reads, or unreadable; larger than `most_pixels`, or
            with a side below `LEAST_SIDE`.
    """
    cv2 = need("cv2", "reading a picture")
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: expected a picture, received {error.strerror}") from error
    header = read_header(data[:HEADER_BYTES].tobytes())
    _check_size(path, header.width, header.height, most_pixels)
    if header.animated:
        log.warning("%s: animated; only the first of its pictures is looked at", path.name)
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # of a kind whose header is not read here, larger than OpenCV takes
        image = None
    if image is None:
        raise UserError(f"{path}: expected a picture, received a file that is none; check it")
    _check_size(path, image.shape[1], image.shape[0], most_pixels)
    return np.ascontiguousarray(image[..., ::-1])


def _check_size(path: Path, width: int, height: int, most_pixels: int) -> None:
    """Refuse what would take the machine's memory, or cannot show a face; 0 = not known."""
    if fault := size_fault(width, height, most_pixels):
        raise UserError(f"{path}: expected a picture, received {fault}; {REMEDY}")
    if 0 < min(width, height) < LEAST_SIDE:
        raise UserError(
            f"{path}: expected a picture of at least {LEAST_SIDE} pixels a side, in which a face "
            f"can be seen, received {width} × {height}"
        )
