"""Video files of a constant frame rate from pictures that come irregularly."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import VideoWriter

log = logging.getLogger(__name__)

MAX_PAUSE_S = 30.0  # a longer one ends a file; it is not worth a file full of one picture
RETRY_S = 10.0  # after a full disk, in time of the source
WRITTEN_S = 5.0  # from then on some of a file is on disk and not only in the encoder


class PacedVideo:
    """The pictures of one source as files of a constant rate, in true time.

    Where pictures are missing the one before is repeated; where there are too many, some are left
    out. One that is less than a frame's duration early or late is taken as it comes.

    A file ends, and another begins, when pictures change their size, after a pause of more than
    30 s, after `minutes`, and after a full disk, once there is room.

    Args:
        next_path: Where the next file goes.
        fps: Frames per second of the files.
        minutes: Longest file; None = no limit.

    Attributes:
        trouble: Why some pictures are in no file, in one line; "" where all are.
    """

    def __init__(
        self, next_path: Callable[[], Path], fps: float, minutes: float | None = None
    ) -> None:
        self._next_path = next_path
        self._fps = fps
        self._most = None if minutes is None else max(1, round(minutes * 60.0 * fps))
        self._writer: VideoWriter | None = None
        self._origin_ms = 0.0
        self._newest: np.ndarray | None = None
        self._full_until_ms = -math.inf
        self._full = False
        self.trouble = ""

    def write(self, picture: np.ndarray, time_ms: float) -> None:
        """Take a picture, uint8 (H, W, 3) RGB, and its time in the source."""
        if time_ms < self._full_until_ms:
            return
        if self._ends_before(picture, time_ms):
            self.close()
        if self._writer is None:
            self._writer = VideoWriter(self._next_path(), self._fps, rescue=True)
            self._origin_ms = time_ms
        try:
            self._place(self._writer, picture, time_ms)
        except UserError as error:
            if not self._full:
                log.warning("%s; trying again every %g s", error, RETRY_S)
            self._full = True
            self.trouble = str(error)
            self._writer = None
            self._full_until_ms = time_ms + RETRY_S * 1000.0
            return
        if self._full and self._writer.frames > WRITTEN_S * self._fps:
            log.warning("%s: there is room again", self._writer.path)
            self._full = False

    def close(self) -> None:
        """Finish the file under way."""
        writer, self._writer = self._writer, None
        self._newest = None
        if writer is None:
            return
        try:
            writer.close()
        except UserError as error:
            self.trouble = str(error)
            log.warning("%s", error)

    def _ends_before(self, picture: np.ndarray, time_ms: float) -> bool:
        if self._writer is None or self._newest is None:
            return False
        early = self._position(time_ms) - self._writer.frames
        return (
            picture.shape != self._newest.shape
            or abs(early) > MAX_PAUSE_S * self._fps
            or (self._most is not None and self._writer.frames >= self._most)
        )

    def _position(self, time_ms: float) -> float:
        """A time in frames from the file's first one."""
        return (time_ms - self._origin_ms) * self._fps / 1000.0

    def _place(self, writer: VideoWriter, picture: np.ndarray, time_ms: float) -> None:
        position = self._position(time_ms)
        if position <= writer.frames - 1:
            return  # too many: its place is taken
        if self._newest is not None and position >= writer.frames + 1:
            for _ in range(round(position) - writer.frames):
                writer.write(self._newest)
        writer.write(picture)
        self._newest = picture
