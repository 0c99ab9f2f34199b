"""Face search: when the whole picture is looked at, and when only the places of known faces.

Most of a search's cost is the picture where nobody is. While every known face is found again where
it was expected and nobody is new, more and more rounds look only at a square around each, and
every `full_every`-th frame still looks at all of it. A face that is not found there has the whole
picture searched at once, in the same frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_ddl.edge.faces.face import Box, Face, FaceDetector
from keras_ddl.edge.faces.track import MIN_OVERLAP, SMOOTHING_MS, overlap, unlikeness

FULL_EVERY = 12  # frames, about half a second: so late is somebody new seen at the worst
REACH = 2.35  # side of the square around a face, in sides: 0.67 of them free on each side
OFTEN = 4  # measurements of an offset that are enough


@dataclass(frozen=True)
class SearchRule:
    """Which faces are looked for, and where.

    Args:
        full_every: The whole picture is searched on every so many frames at the latest. 1, or no
            more than the frames from one round to the next = in every round, as training does.
        min_face: Side of the smallest face of interest in pixels of the picture, which is searched
            no finer than that takes; a smaller one is not followed. 0 = all faces that the
            detector finds at its usual size.

    Raises:
        ValueError: An argument is out of range.
    """

    full_every: int = 1
    min_face: float = 0.0

    def __post_init__(self) -> None:
        if self.full_every < 1 or not 0 <= self.min_face < float("inf"):
            raise ValueError(
                "SearchRule: expected full_every of at least 1 and min_face of at least 0, "
                f"received {self.full_every}, {self.min_face}"
            )

    @property
    def sizes(self) -> str:
        """Which faces these are, to be put behind the word: " of 80 px or more", "" for all."""
        return f" of {self.min_face:g} px or more" if self.min_face else ""


WHOLE = SearchRule()  # always the whole picture, all that is found: how training's clips are cut


@dataclass(frozen=True)
class _Offset:
    """Box of the full search against that found around a face's place, over some measurements.

    Args:
        mean: Centre further right and down, in sides of the second, and the ratio of the sides.
        count: How many it is the mean of; the last `OFTEN` count, about.
    """

    mean: tuple[float, float, float] = (0.0, 0.0, 1.0)
    count: int = 0

    def with_another(self, full: Box, near: Box) -> _Offset:
        """Return the mean with one more measurement in it."""
        (x, y, side, _), (near_x, near_y, near_side, _) = full, near
        right, down = x + side / 2 - near_x - near_side / 2, y + side / 2 - near_y - near_side / 2
        now = (right / near_side, down / near_side, side / near_side)
        count = min(self.count + 1, OFTEN)
        a, b, c = ((count - 1) / count * m + n / count for m, n in zip(self.mean, now, strict=True))
        return _Offset((a, b, c), count)


NO_OFFSET = _Offset()


class FaceSearch:
    """Search for faces, round by round; what it does depends on what it has found alone.

    The rounds from one full search to the next are 1, 2, 4 and so on, up to `full_every` frames,
    while all goes on as it was; 1 again with a face lost or new, and with a new scene. The box that
    is found around a face's place differs from that of the full search by some 2 % of its side in
    place and 5 % in size, by much the same for one face: how much, each full search measures, and
    it is taken off, so that crops are those of training and do not jump.

    Args:
        detector: Finds the faces.
        every: Frames from one round to the next, at least 1.
        rule: Which faces, and where.

    Attributes:
        was_full: Whether the last round searched the whole picture.
    """

    def __init__(self, detector: FaceDetector, every: int, rule: SearchRule) -> None:
        self.was_full = False
        self._detector = detector
        self._rule = rule
        self._least = rule.min_face or None
        self._most = max(1, rule.full_every // every)  # rounds from one full search to the next
        self._longest_ms = 2 * rule.full_every * SMOOTHING_MS  # the same bound for slow sources
        self.restart()

    def restart(self) -> None:
        """Begin anew: another scene, or another source."""
        self._pace = 0  # rounds from the last full search to the next one
        self._left = 0  # rounds before it
        self._full_ms = 0.0
        self._offsets: dict[int, _Offset] = {}  # by track

    def find(self, image: np.ndarray, time_ms: float, known: Mapping[int, Box]) -> list[Face]:
        """Return the faces of a picture that are known, and, where it is searched whole, others.

        Args:
            image: uint8 (H, W, 3) RGB.
            time_ms: Its time, later than the last one since `restart`.
            known: Track → where its face is expected, a canonical box in pixels.
        """
        if self._left > 0 and time_ms - self._full_ms <= self._longest_ms:
            self._left -= 1
            found = self._around(image, known) if self._pays(image, len(known)) else None
            if found is not None:
                self.was_full = False
                return found
        self.was_full = True
        self._full_ms = time_ms
        if self._most == 1 and self._least is None:
            return self._detector.detect(image)
        return self._everywhere(image, known)

    def _everywhere(self, image: np.ndarray, known: Mapping[int, Box]) -> list[Face]:
        """Search the whole picture, and set the pace by what has become of the known faces."""
        others = self._detector.detect(image, self._least)
        seen: dict[int, Face] = {}
        for track, box in known.items():
            if (face := nearest(box, others)) is not None:
                others.remove(face)
                seen[track] = face
        new = [
            face
            for face in others
            if face.box[2] >= self._rule.min_face
            and all(overlap(face.box, other.box) < MIN_OVERLAP for other in seen.values())
        ]
        steady = len(seen) == len(known) and not new
        self._pace = min(max(1, 2 * self._pace), self._most) if steady else 1
        if self._pace > 1 and self._pays(image, len(known)) and not self._measure(image, seen):
            self._pace = 1
        self._left = self._pace - 1
        return [*seen.values(), *new]

    def _pays(self, image: np.ndarray, faces: int) -> bool:
        """Whether looking around so many faces costs less than a full search."""
        width, height = self._detector.size(image.shape[1], image.shape[0], self._least)
        most = self._detector.worth * width * height
        return width * height > self._detector.cheap and faces * self._detector.region**2 <= most

    def _around(self, image: np.ndarray, known: Mapping[int, Box]) -> list[Face] | None:
        """Look for each known face around its place; None where one is not there."""
        found: list[Face] = []
        for track, box in known.items():
            face = find_near(self._detector, image, box)
            if face is None or any(overlap(face.box, f.box) >= MIN_OVERLAP for f in found):
                return None
            right, down, size = self._offsets.get(track, NO_OFFSET).mean
            x, y, side, _ = face.box
            grown = side * (size - 1)
            corner = x + right * side - grown / 2, y + down * side - grown / 2
            found.append(replace(face, box=(*corner, side + grown, side + grown)))
        return found

    def _measure(self, image: np.ndarray, seen: Mapping[int, Face]) -> bool:
        """Measure what is to be taken off around faces; False where one is not seen so.

        Of those that were measured often enough it is one face each time, in turn.
        """
        before = {track: self._offsets[track] for track in self._offsets if track in seen}
        often = [track for track, offset in before.items() if offset.count >= OFTEN]
        for track in [track for track in seen if track not in often] + often[:1]:
            face = seen[track]
            near = find_near(self._detector, image, face.box)
            if near is None:
                return False
            before[track] = before.pop(track, NO_OFFSET).with_another(face.box, near.box)
        self._offsets = before  # the one measured last stands last
        return True


def find_near(detector: FaceDetector, image: np.ndarray, box: Box) -> Face | None:
    """Return the face that is where one is expected, None where none is.

    A square around it is searched at a scale that makes all faces equally large, and no picture
    larger than it is.

    Args:
        detector: Finds it.
        image: uint8 (H, W, 3) RGB.
        box: Its expected canonical box in pixels.
    """
    factor = max(1.0, REACH * box[2] / detector.region)
    side = 4 * round(factor * detector.region / 4)  # halves and quarters of it are whole pixels
    left, top = (round(box[i] + box[2] / 2 - side / 2) for i in (0, 1))
    square = _cut(image, left, top, side)
    if square is None:
        return None
    faces = detector.detect(square, detector.smallest * side / detector.region)
    return nearest(box, [face.moved(left, top) for face in faces])


def nearest(box: Box, faces: Sequence[Face]) -> Face | None:
    """Return the face that is most like an expected box, None where none can be it."""
    costs = [(cost, face) for face in faces if (cost := unlikeness(box, face.box)) is not None]
    return min(costs, key=lambda pair: (pair[0], pair[1].box), default=(0.0, None))[1]


def _cut(image: np.ndarray, left: int, top: int, side: int) -> np.ndarray | None:
    """Return a square of an image, black where it leaves it; None outside."""
    import cv2

    part = image[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    if 0 in part.shape:
        return None
    above, before = max(-top, 0), max(-left, 0)
    below, after = side - above - part.shape[0], side - before - part.shape[1]
    if above or before or below or after:
        return cv2.copyMakeBorder(part, above, below, before, after, cv2.BORDER_CONSTANT)
    return part
