"""Sink of the dashboard: the newest annotated pictures as JPEG, and the history."""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock

import numpy as np

from deploy.dashboard.history import History
from deploy.drawing.canvas import encoded
from deploy.sinks.base import Output, Sink
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.optional_import import need

WATCHED_S = 3.0  # somebody who asked for a picture this long ago still watches
WIDEST = 1280  # pixels; wider pictures are sent smaller
QUALITY = 82


class DashboardSink(Sink):
    """Sink that keeps the newest picture per source, and a bounded history of scores and events.

    Args:
        telemetry: Gets a count of the events by verdict.
    """

    name = "dashboard"

    def __init__(self, telemetry: NullTelemetry | None = None) -> None:
        self._telemetry = telemetry or NullTelemetry()
        self.pictures = Pictures()
        self.history = History()

    @property
    def wants_picture(self) -> bool:
        """Only while somebody watches."""
        return self.pictures.watched

    def write(self, output: Output) -> None:
        """Take picture and records."""
        if output.picture is not None:
            self.pictures.put(output.source, output.picture)
        for record in output.records:
            self.history.add(output.source, record)
            if record["type"] == "verdict":
                self._telemetry.event(record["verdict"], output.source)


@dataclass(frozen=True)
class Jpeg:
    """A picture to send; `number` tells it from the ones before."""

    number: int
    data: bytes


class Pictures:
    """Store of pictures; those that are asked for are encoded, once for all who ask."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._numbers = 0
        self._newest: dict[str, tuple[int, np.ndarray]] = {}
        self._encoded: dict[str, Jpeg] = {}
        self._asked = -WATCHED_S

    @property
    def watched(self) -> bool:
        """Whether somebody asked for a picture within the last seconds."""
        return time.monotonic() - self._asked < WATCHED_S

    def put(self, source: str, picture: np.ndarray) -> None:
        """Take a picture, uint8 (H, W, 3) RGB; it must not change afterwards."""
        with self._lock:
            self._numbers += 1
            self._newest[source] = (self._numbers, picture)

    def get(self, source: str, after: int) -> Jpeg | None:
        """The newest picture of a source; None when it has none newer than number `after`."""
        self._asked = time.monotonic()
        with self._lock:
            number, picture = self._newest.get(source, (0, None))
            if picture is None or number <= after:
                return None
            encoded = self._encoded.get(source)
        if encoded is None or encoded.number != number:
            encoded = Jpeg(number, jpeg(picture))
            self._encoded[source] = encoded
        return encoded


def jpeg(picture: np.ndarray) -> bytes:
    """Encode uint8 (H, W, 3) RGB, scaled down to `WIDEST` where it is wider."""
    high, wide = picture.shape[:2]
    if wide > WIDEST:
        cv2 = need("cv2", "the dashboard")
        size = (WIDEST, max(1, round(high * WIDEST / wide)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return encoded(picture, ".jpg", QUALITY)
