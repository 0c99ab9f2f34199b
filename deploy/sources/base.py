"""Interface of every source: frames in order, once, and its health."""

from __future__ import annotations

import dataclasses
import threading
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np

from keras_ddl.edge.faces.face import Face, FaceDetector
from keras_ddl.edge.faces.search import SearchRule
from keras_ddl.edge.video import Frame
from keras_ddl.edge.video.container import MOST_PIXELS
from keras_ddl.edge.video.decoder import Decoder

DEFAULT_FPS = 25.0
ANY_LINES = 1 << 16  # more than any picture has


@dataclass(frozen=True)
class Limits:
    """How large the pictures of a source may be.

    Args:
        lines: Of an HLS stream with several qualities the best of at most so many lines is taken.
        most_pixels: A larger picture is refused.
    """

    lines: int = ANY_LINES
    most_pixels: int = MOST_PIXELS


DEFAULT_LIMITS = Limits()


class State(str, Enum):
    """State of a source."""

    CONNECTING = "connecting"  # not one frame so far
    RUNNING = "running"
    FROZEN = "frozen"  # it sends the same picture over and over; nothing is judged
    RECONNECTING = "reconnecting"  # it was lost, and is being tried again
    STOPPED = "stopped"  # somebody asked for that
    ENDED = "ended"  # a file came to its end
    FAILED = "failed"  # given up


@dataclass(frozen=True)
class Health:
    """Health of a source at one moment.

    Attributes:
        state: What it is doing.
        error: Its last trouble in one line, without credentials; "" when there was none.
        frames: Frames read.
        reconnects: How often it was lost and found again.
        size: Width and height of the newest picture in pixels; (0, 0) before the first.
        dropped: Frames thrown away, by cause ("stale", "frozen", …).
    """

    state: State = State.CONNECTING
    error: str = ""
    frames: int = 0
    reconnects: int = 0
    size: tuple[int, int] = (0, 0)
    dropped: dict[str, int] = field(default_factory=dict)


class HealthTracker:
    """A `Health` that one thread changes and any thread reads.

    Attributes:
        dropped: Frames thrown away, by cause.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._health = Health()
        self.dropped: Counter[str] = Counter()

    def update(self, **changes: Any) -> None:
        """Replace fields of the health."""
        with self._lock:
            self._health = dataclasses.replace(self._health, **changes)

    def frame(self, image: np.ndarray, **changes: Any) -> None:
        """Count a frame that was read, uint8 (H, W, 3), and replace further fields."""
        changes["size"] = (image.shape[1], image.shape[0])
        with self._lock:
            changes["frames"] = self._health.frames + 1
            self._health = dataclasses.replace(self._health, **changes)

    def drop(self, cause: str) -> None:
        """Count a frame that was thrown away."""
        self.dropped[cause] += 1

    def read(self) -> Health:
        """Return the health, its counts copied."""
        with self._lock:
            return dataclasses.replace(self._health, dropped=dict(self.dropped))


class SearchedOnce:
    """A face detector that does not search the very picture before again.

    Args:
        detector: Searches the others.
    """

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector
        self.name, self.smallest = detector.name, detector.smallest
        self.region, self.cheap, self.worth = detector.region, detector.cheap, detector.worth
        self.size = detector.size
        self._known: tuple[np.ndarray, float | None, list[Face]] | None = None

    def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[Face]:
        """Return the faces of a picture, as `FaceDetector.detect`."""
        known = self._known
        if known is None or known[0] is not image_rgb or known[1] != least:
            known = self._known = (image_rgb, least, self._detector.detect(image_rgb, least))
        return list(known[2])


class Source(AbstractContextManager["Source"]):
    """A context manager that yields frames once.

    Attributes:
        name: For logs and outputs; credentials are already hidden.
        live: Time passes whether or not frames are read.
        still: One picture, over and over: nothing can be seen over time.
        fps: Nominal frames per second.
        length: Expected number of frames; None where unknown.
        decoder: What decodes its video; None where FFmpeg does not.
        sample: In how many `places` it is looked at, and its `seconds`; None = every frame is.
        epoch: `time.monotonic()` at the `time_ms` 0 of a live source; None before it runs, and
            where frames are not tied to a clock.
    """

    name: str
    live: bool
    still: bool = False
    fps: float = DEFAULT_FPS
    length: int | None = None
    decoder: Decoder | None = None
    sample: Mapping[str, float] | None = None
    epoch: float | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames in order; `time_ms` never runs backwards within a source."""

    def searched_by(self, detector: FaceDetector) -> FaceDetector:
        """The detector for this source: of a still picture, shown on and on, it searches once."""
        return SearchedOnce(detector) if self.still else detector

    def search(self, rule: SearchRule) -> SearchRule:
        """The rule for this source: the whole of a still picture, which `searched_by` remembers."""
        return dataclasses.replace(rule, full_every=1) if self.still else rule

    @property
    def health(self) -> Health:
        """How it is doing; safe to ask from any thread."""
        return Health(State.RUNNING)

    @property
    def dropped(self) -> int:
        """Frames thrown away, whatever the cause."""
        return sum(self.health.dropped.values())

    def interrupt(self) -> None:
        """End the iteration soon, also while waiting for a frame; safe in a signal handler."""
        return None

    def close(self) -> None:
        """Release device, file or connection; within two seconds, whatever hangs."""
        return None

    def __exit__(self, *_: object) -> None:
        self.close()
