"""A picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from deploy.sources.base import DEFAULT_FPS
from deploy.sources.recorded_source import RecordedSource
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video import Frame

PICTURES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
STILL_MS = 2000.0  # a picture is shown this long


class StillSource(RecordedSource):
    """A picture, shown for two seconds."""

    still = True

    def __init__(self, path: Path, name: str = "") -> None:
        super().__init__(name or str(path))
        self._image = read_picture(path)
        self.length = round(STILL_MS * DEFAULT_FPS / 1000)

    def _frames(self) -> Iterator[Frame]:
        for index in range(self.length or 0):
            yield Frame(self._image, index * 1000 / DEFAULT_FPS, index)


def read_picture(path: Path) -> np.ndarray:
    """Return a picture, uint8 (H, W, 3) RGB.

    Raises:
        UserError: not a picture that OpenCV reads, or unreadable.
    """
    cv2 = need("cv2", "reading a picture")
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UserError(f"{path}: expected a picture, received {error.strerror}") from error
    image = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if image is None:
        raise UserError(f"{path}: expected a picture, received a file that is none; check it")
    return np.ascontiguousarray(image[..., ::-1])
