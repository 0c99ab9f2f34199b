"""Repeated frames: whether a video shows each picture more than once, 12.5 fps stored as 25."""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

THUMBNAIL = (64, 36)  # width, height
WINDOW = 24  # newest differences that a rhythm is looked for in
LEAST = 12  # of them, before anything is said
SMALL = 0.6  # of the new pictures' differences around it: what a repeat may differ by, coded anew
SHARE = 0.85  # of the repeats that must be so small
MEDIAN = 0.3  # of the new pictures' median difference: what that of the repeats may be

Rhythm = tuple[int, tuple[int, ...]]  # a period in frames, and which of them are repeats

# Period in frames, and which of a period's frames are repeats: 12.5 in 25 and 15 in 30; 10 in 30;
# 20 in 30.
RHYTHMS: tuple[Rhythm, ...] = ((2, (1,)), (3, (1, 2)), (3, (2,)))

log = logging.getLogger(__name__)


class RepeatDetector:
    """Detector of repeated frames by the rhythm of the differences between consecutive pictures.

    Coded video repeats a picture only nearly, and a still scene differs as little, so a single
    difference says nothing: repeats are told by coming at every second or third frame, much
    smaller than the changes between.

    Attributes:
        note: Which of the frames so far repeated the one before, in words; "" = none did.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self.note = ""
        self._differences: deque[float] = deque(maxlen=WINDOW)

    def push(self, image: np.ndarray) -> bool:
        """Take the next frame, uint8 (H, W, 3); return whether it repeats the one before.

        A rhythm is known after `LEAST` frames; until then nothing is a repeat.
        """
        import cv2

        green = np.ascontiguousarray(image[::2, ::2, 1])
        thumbnail = cv2.resize(green, THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)
        last, self._last = self._last, thumbnail
        if last is None:
            return False
        self._differences.append(float(np.abs(thumbnail - last).mean()))
        rhythm = repeats_now(np.array(self._differences))
        if rhythm and not self.note:
            period, places = rhythm
            self.note = f"repeated frames ({len(places)} of every {period}) are counted once"
            log.warning("%s", self.note)
        return rhythm is not None


def repeats_now(differences: np.ndarray) -> Rhythm | None:
    """The rhythm by which the last of these differences is that of a repeat; None where it is none.

    Args:
        differences: (N,), mean absolute difference of each frame from the one before.
    """
    if len(differences) < LEAST:
        return None
    numbers = np.arange(len(differences))
    for period, places in RHYTHMS:
        for phase in range(period):
            repeated = np.isin((numbers + phase) % period, places)
            if repeated[-1] and _is_rhythm(differences, repeated):
                return period, places
    return None


def _is_rhythm(differences: np.ndarray, repeated: np.ndarray) -> bool:
    new = np.flatnonzero(~repeated)
    places = np.flatnonzero(repeated)
    after = np.searchsorted(new, places)
    around = np.stack([new[np.maximum(after - 1, 0)], new[np.minimum(after, len(new) - 1)]])
    small = differences[places] < SMALL * differences[around].min(0)
    medians = np.median(differences[places]), np.median(differences[new])
    return bool(small.mean() >= SHARE and medians[0] < MEDIAN * medians[1])
