"""A camera by index."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from deploy.sources.base import DEFAULT_FPS
from deploy.sources.live.connection import Shot
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

DEV = Path("/dev")
MAX_BAD = 25  # pictures in a row that cannot be decoded: the camera is lost


class CameraConnection:
    """An open `cv2.VideoCapture`.

    Args:
        capture: A `cv2.VideoCapture`.
        name: For errors.
    """

    paced = False
    ends = False

    def __init__(self, capture: Any, name: str) -> None:
        cv2 = need("cv2", "reading a camera")
        self._capture = capture
        self._name = name
        self.fps = capture.get(cv2.CAP_PROP_FPS) or DEFAULT_FPS

    def shots(self, drop: Callable[[str], None]) -> Iterator[Shot]:
        """Yield pictures until the device gives none."""
        cv2 = need("cv2", "reading a camera")
        bad = 0
        while bad < MAX_BAD and self._capture.grab():
            start = time.perf_counter()
            ok, bgr = self._capture.retrieve()
            if ok:
                bad = 0
                yield Shot(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), None, time.perf_counter() - start)
            else:
                bad += 1
                drop("corrupted")
        raise UserError(f"lost {self._name}: it gives no pictures; check its cable", MISSING)

    def close(self) -> None:
        """Release the device."""
        self._capture.release()


def connect_camera(index: int, name: str) -> CameraConnection:
    """Open a camera.

    Raises:
        UserError: not there, or busy; the line lists those that are there.
    """
    cv2 = need("cv2", "reading a camera")
    check_camera(index, name)
    capture = cv2.VideoCapture(index)
    if not capture.isOpened():
        capture.release()
        if index not in list_cameras():
            raise _no_camera(name)
        remedy = "close the program that has it, or name another"
        raise UserError(f"cannot open {name}: it is there and gives nothing; {remedy}", MISSING)
    return CameraConnection(capture, name)


def check_camera(index: int, name: str) -> None:
    """Raise a UserError where the system says that there is no such camera (Linux)."""
    if sys.platform == "linux" and index not in list_cameras():
        raise _no_camera(name)


def list_cameras(dev: Path = DEV) -> dict[int, Path]:
    """Camera device files present, by index and in its order (Linux; empty elsewhere)."""
    found = (path for path in dev.glob("video*") if path.name[5:].isdecimal())
    return dict(sorted((int(path.name[5:]), path) for path in found))


def _no_camera(name: str) -> UserError:
    there = ", ".join(str(path) for path in list_cameras().values()) or "no /dev/video* devices"
    message = f"cannot open {name}: found {there}; name another or use --source FILE"
    return UserError(message, MISSING)
