"""Summary of a file's run: the most suspicious moment, a timeline, faces seen."""

from __future__ import annotations

import numpy as np

from deploy.drawing.canvas import COLORS, encoded
from deploy.judging.records import ScoredClip
from deploy.judging.verdict import Label
from deploy.sinks.base import Output, Sink
from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video import Frame

THUMB = 240  # width of a thumbnail, px
JPEG_QUALITY = 78
BINS = 96  # of the timeline


class CountingClipper(FaceClipper):
    """The clipper, which also remembers whose faces it has seen."""

    seen: frozenset[int] = frozenset()

    def push(self, frame: Frame) -> FrameResult:
        """Take the next frame of the source."""
        step = super().push(frame)
        ids = {track.id for track in step.tracks}
        if not ids <= self.seen:
            self.seen |= ids
        return step


class Collector(Sink):
    """Sink that keeps what the summary shows of one file.

    Attributes:
        fakes: How often a verdict turned FAKE.
        moment_ms: Time of the most suspicious clip, None without clips.
        moment_probability: Its score.
    """

    name = "collector"

    def __init__(self) -> None:
        self.fakes = 0
        self.moment_ms: float | None = None
        self.moment_probability: float | None = None
        self._rank = (-1, -1.0)
        self._points: list[tuple[float, float]] = []
        self._image: np.ndarray | None = None

    def write(self, output: Output) -> None:
        """Take the judged clips; the first frame stands in until there is one."""
        if self._image is None and output.frame is not None:
            self._image = _small(output.frame.image)
        for record in output.records:
            self.fakes += record["type"] == "verdict" and record["verdict"] == Label.FAKE.value
        for scored in output.scored:
            if (point := scored.point) is not None:
                self._points.append((point.time_ms, point.smoothed))
                self._compare(scored, output.frame)

    def _compare(self, scored: ScoredClip, frame: Frame | None) -> None:
        """Clips that may be judged go before those that may not, then the higher score."""
        rank = (int(not scored.poor), scored.probability)
        if rank <= self._rank or frame is None:
            return
        self._rank = rank
        self.moment_ms, self.moment_probability = scored.time_ms, scored.probability
        self._image = _small(frame.image)
        cv2 = need("cv2", "drawing a thumbnail")
        scale = self._image.shape[1] / frame.image.shape[1]
        x, y, wide, high = (round(value * scale) for value in scored.box)
        color = COLORS[scored.decision.label]
        cv2.rectangle(self._image, (x, y), (x + wide, y + high), (16, 18, 22), 4, cv2.LINE_AA)
        cv2.rectangle(self._image, (x, y), (x + wide, y + high), color, 2, cv2.LINE_AA)

    def thumbnail(self) -> bytes:
        """The most suspicious moment, face marked, as JPEG; the first frame without clips."""
        return b"" if self._image is None else encoded(self._image, ".jpg", JPEG_QUALITY)

    def timeline(self, length_ms: float) -> list[list[float]]:
        """Up to 96 points [share of the length, smoothed score]; the highest where many fall."""
        best: dict[int, tuple[float, float]] = {}
        for time_ms, value in self._points:
            share = min(time_ms / max(length_ms, 1e-9), 1.0)
            place = int(BINS * share)
            if place not in best or value > best[place][1]:
                best[place] = (share, value)
        return [[round(share, 4), round(value, 4)] for share, value in sorted(best.values())]


def _small(image: np.ndarray) -> np.ndarray:
    cv2 = need("cv2", "drawing a thumbnail")
    high, wide = image.shape[:2]
    scale = min(THUMB / wide, 2 * THUMB / high)  # bounded in both directions
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    small: np.ndarray = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return small
