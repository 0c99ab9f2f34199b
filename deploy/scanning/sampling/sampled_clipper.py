"""Faces of a video that is looked at in a few places: one clip of each face at each place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces import FaceDetector, Track
from keras_ddl.edge.faces.repeated_frames import LEAST, RepeatDetector
from keras_ddl.edge.faces.scene_cut import CutDetector
from keras_ddl.edge.faces.search import WHOLE, SearchRule
from keras_ddl.edge.faces.track import MIN_HITS, MIN_OVERLAP
from keras_ddl.edge.video import Frame

Box = tuple[float, float, float, float]  # x, y, w, h in pixels

LEAD_IN = LEAST + 1  # frames after which repeated ones are known
ROUNDS = MIN_HITS + 1  # searches without a face, after which a place has none
UNKNOWN_FOR = 4  # places, after which a video whose frames have not repeated each other is as usual
MOST_AWAITED = 32  # faces that are remembered from one place to the next


class NoRepeats(RepeatDetector):
    """The detector for a video whose frames do not repeat each other."""

    def push(self, image: np.ndarray) -> bool:
        """Look at nothing."""
        return False


class SampledClipper(FaceClipper):
    """The clipper for a source whose segments are places of one video, far from each other.

    A clip is cut at each place as that of a face that has just come into sight. A face is taken for
    the one of the place before by the rule that holds from frame to frame: the picture is not
    another scene's, and it lies where that one was. Whether frames repeat each other is looked at
    in the first places.

    Args:
        spec, detector, detect_every, stride_ms: As of `FaceClipper`.
        enough: Called when a place has given a clip of each face in sight, or has none.
        search: As of `FaceClipper`.

    Attributes:
        seen: Whose faces it has seen.
    """

    def __init__(
        self,
        spec: ClipSpec,
        detector: FaceDetector,
        detect_every: int,
        stride_ms: float,
        enough: Callable[[], None],
        search: SearchRule = WHOLE,
    ) -> None:
        super().__init__(spec, detector, detect_every, stride_ms, search=search)
        self._enough = enough
        self.seen: frozenset[int] = frozenset()
        self._place: int | None = None
        self._last: np.ndarray | None = None  # newest picture
        self._lead = 0  # frames that are not tracked yet
        self._led = 0  # places that were begun with such frames
        self._rounds = 0
        self._given: set[int] = set()  # faces that have given their clip here
        self._all = False  # that are in sight; when frames come all the same, it is read whole
        self._here: dict[int, Box] = {}  # faces in sight at the last frame
        self._awaited: dict[int, Box] = {}  # faces of the places before, and where they were
        self._gone: list[int] = []  # of those, who need not be awaited any more
        self._names: dict[int, int] = {}  # number of a track → that of the face

    def push(self, frame: Frame) -> FrameResult:
        """Take the next frame of the source."""
        if frame.segment != self._place:
            self._begin(frame)
        self._last = frame.image
        if self._lead:
            self._lead -= 1
            self._repeats.push(frame.image)
            return FrameResult(frame)
        step = self._named(super().push(frame))
        ids = {track.id for track in step.tracks}
        if not ids <= self.seen:
            self.seen |= ids
        if self._has_all(step):
            self._all = True
            self._enough()
        return step

    def _begin(self, frame: Frame) -> None:
        """Come to another place."""
        self._awaited |= self._here
        if self._last is not None and _is_another(self._last, frame.image):
            self._gone += self._awaited
            self._awaited = {}
        while len(self._awaited) > MOST_AWAITED:
            oldest = next(iter(self._awaited))
            self._gone.append(oldest)
            del self._awaited[oldest]
        note = self._repeats.note
        unknown = self._led == 0 or (self._led < UNKNOWN_FOR and not self.seen)
        self._lead = LEAD_IN if note or unknown else 0
        self._led += self._lead > 0
        self._repeats = RepeatDetector() if self._lead else NoRepeats()
        self._repeats.note = note  # it has been told
        self._place, self._tracks = frame.segment, ()
        self._rounds, self._given, self._here, self._names = 0, set(), {}, {}
        self._all = False

    def _named(self, step: FrameResult) -> FrameResult:
        """Give the tracks of this place the numbers of the faces that they are."""
        ended, self._gone = [self._names[one] for one in step.ended] + self._gone, []
        self._recognise(step.tracks)
        clips = [dataclasses.replace(c, track_id=self._names[c.track_id]) for c in step.clips]
        tracks = tuple(dataclasses.replace(t, id=self._names[t.id]) for t in step.tracks)
        self._here = {track.id: track.box for track in tracks}
        return dataclasses.replace(
            step,
            tracks=tracks,
            clips=tuple(c for c in clips if self._all or c.track_id not in self._given),
            crops={self._names[one]: crop for one, crop in step.crops.items()},
            ended=tuple(sorted(ended)),
            reasons={self._names[one]: why for one, why in step.reasons.items()},
        )

    def _recognise(self, tracks: tuple[Track, ...]) -> None:
        new = [track for track in tracks if track.id not in self._names]
        pairs = [
            (overlap(track.box, box), track.id, face)
            for track in new
            for face, box in self._awaited.items()
        ]
        for shared, track_id, face in sorted(pairs, reverse=True):
            if shared >= MIN_OVERLAP and track_id not in self._names and face in self._awaited:
                self._names[track_id] = face
                del self._awaited[face]
        self._names.update((t.id, t.id) for t in new if t.id not in self._names)

    def _has_all(self, step: FrameResult) -> bool:
        self._rounds = step.detected if step.cut else self._rounds + step.detected
        self._given.update(clip.track_id for clip in step.clips)
        if not step.tracks:
            return self._rounds >= ROUNDS
        return self._rounds >= MIN_HITS and self._here.keys() <= self._given


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two boxes (x, y, w, h)."""
    wide = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    high = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(wide, 0.0) * max(high, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def _is_another(before: np.ndarray, image: np.ndarray) -> bool:
    """Whether a picture is of another scene, as the clipper tells it of consecutive ones."""
    if before.shape != image.shape:
        return True
    cuts = CutDetector()
    cuts.push(before)
    return cuts.push(image)
