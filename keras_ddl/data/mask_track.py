"""Which of several faces was manipulated, read from a mask video."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.faces.track import Track

MASKED = 32  # grey level from which a pixel of a mask video counts; compression blurs its edges

_log = logging.getLogger(__name__)


class ManipulatedTrack:
    """Watches tracks beside a mask video and names the one that lies on the mask.

    Args:
        mask: Video of the same frames, bright where the picture was manipulated; None or an
            unreadable file (logged) answers None.
    """

    def __init__(self, mask: Path | None) -> None:
        self._masks = _frames(mask)
        self._covered: dict[int, float] = defaultdict(float)

    def push(self, tracks: Iterable[Track]) -> None:
        """Take the tracks of the next frame."""
        mask = next(self._masks, None)
        if mask is None:
            return
        for track in tracks:
            x, y, w, h = (round(v) for v in track.box)
            part = mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)]
            self._covered[track.id] += float((part >= MASKED).sum()) / max(w * h, 1)

    def best(self) -> int | None:
        """Id of the track with the largest covered share, summed over time; None where none is."""
        if not self._covered or max(self._covered.values()) <= 0:
            return None
        return max(self._covered, key=lambda track: self._covered[track])


def _frames(mask: Path | None) -> Iterator[np.ndarray]:
    from keras_ddl.edge.video import read_video

    if mask is None:
        return
    try:
        for frame in read_video(mask):
            yield frame.image.max(axis=2)
    except UserError as error:
        _log.warning("mask not used: %s", error)
