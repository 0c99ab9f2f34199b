"""A camera by index."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from deploy.needs import need
from deploy.quiet import quiet_stderr
from deploy.sources.base import DEFAULT_FPS, Health, Source, State
from deploy.sources.live_queue import LiveQueue
from keras_ddl.errors import MISSING, UserError
from keras_ddl.video import Frame


class CameraSource(Source):
    """A camera by index, through OpenCV."""

    live = True

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        present = list_cameras()
        if sys.platform == "linux" and index not in present:
            raise _no_camera(index, present)
        cv2 = need("cv2", "reading a camera")
        with quiet_stderr():
            capture = cv2.VideoCapture(index)
        if not capture.isOpened():
            raise _no_camera(index, present)
        self._capture = capture
        self.fps = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS
        self._queue = LiveQueue(self._grab)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._queue)

    @property
    def health(self) -> Health:
        return Health(State.RUNNING, dropped={"stale": self._queue.dropped})

    def interrupt(self) -> None:
        self._queue.interrupt()

    def close(self) -> None:
        """Stop the reading thread, then release the device."""
        if self._queue.close():
            self._capture.release()

    def _grab(self) -> Iterator[Frame]:
        start = time.monotonic()
        index = 0
        while self._capture.grab():
            now_ms = (time.monotonic() - start) * 1000.0
            ok, bgr = self._capture.retrieve()
            if not ok:
                return
            yield Frame(bgr[..., ::-1].copy(), now_ms, index)
            index += 1


def list_cameras() -> dict[int, Path]:
    """Camera device files present, by index (Linux; empty elsewhere)."""
    found = sorted(Path("/dev").glob("video[0-9]*"))
    return {int(path.name[5:]): path for path in found if path.name[5:].isdigit()}


def _no_camera(index: int, present: dict[int, Path]) -> UserError:
    there = ", ".join(str(path) for path in present.values()) or "no /dev/video* devices"
    message = f"cannot open camera {index}: found {there}; name another or use --source FILE"
    return UserError(message, MISSING)
