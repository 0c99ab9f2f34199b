"""Ring buffer of the newest frames of a source, as JPEG, bounded in time and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from deploy.drawing.canvas import encoded
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video import Frame

QUALITY = 90  # of the JPEGs; docs/evidence.md has what a frame costs
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class KeptFrame:
    """A frame in the buffer.

    Attributes:
        time_ms: Its time in the source.
        picture: Segment, height and width: frames that differ in it do not belong to one video.
        jpeg: The picture.
    """

    time_ms: float
    picture: tuple[int, int, int]
    jpeg: bytes = field(repr=False)

    def image(self) -> np.ndarray:
        """Return the picture, uint8 (H, W, 3) RGB."""
        cv2 = need("cv2", "keeping evidence")
        bgr = cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR)
        return np.ascontiguousarray(bgr[..., ::-1])


class FrameRing:
    """Ring of frames no older than `span_ms` behind the newest one; the oldest go first.

    Args:
        span_ms: How far it reaches back, above 0.
        max_bytes: Bound on what the JPEGs take together; the newest frame is always kept.
    """

    def __init__(self, span_ms: float, max_bytes: int = MAX_BYTES) -> None:
        if not span_ms > 0 or max_bytes < 1:
            received = f"{span_ms}, {max_bytes}"
            raise ValueError(f"expected span_ms above 0 and max_bytes >= 1, received {received}")
        self._span_ms = span_ms
        self._max_bytes = max_bytes
        self._frames: deque[KeptFrame] = deque()
        self.bytes = 0

    def push(self, frame: Frame) -> KeptFrame:
        """Keep a frame; time that runs backwards empties the ring first (a source began anew)."""
        if self._frames and frame.time_ms < self._frames[-1].time_ms:
            self._frames.clear()
            self.bytes = 0
        high, wide = frame.image.shape[:2]
        jpeg = encoded(frame.image, ".jpg", QUALITY)
        kept = KeptFrame(frame.time_ms, (frame.segment, high, wide), jpeg)
        self._frames.append(kept)
        self.bytes += len(jpeg)
        oldest = frame.time_ms - self._span_ms
        while len(self._frames) > 1 and (
            self._frames[0].time_ms < oldest or self.bytes > self._max_bytes
        ):
            self.bytes -= len(self._frames.popleft().jpeg)
        return kept

    def at(self, time_ms: float) -> KeptFrame | None:
        """The frame nearest to a time; None when the ring is empty."""
        return min(self._frames, key=lambda kept: abs(kept.time_ms - time_ms), default=None)

    def __iter__(self) -> Iterator[KeptFrame]:
        """From the oldest to the newest."""
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)
