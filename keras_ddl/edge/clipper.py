"""Face clips from frames by detection, tracking, cropping; training and devices share it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import numpy as np

from keras_ddl.edge.clips import Clip, ClipBuffer
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces.crop import square_crop
from keras_ddl.edge.faces.face import FaceDetector
from keras_ddl.edge.faces.repeated_frames import RepeatDetector
from keras_ddl.edge.faces.scene_cut import CutDetector
from keras_ddl.edge.faces.search import WHOLE, FaceSearch, SearchRule
from keras_ddl.edge.faces.track import MAX_GAP_MS, SMOOTHING_MS, Track, Tracker
from keras_ddl.edge.video import Frame

DETECT_EVERY = 3
MIN_FACE = 48.0  # pixels
DARK = 20.0  # mean grey level of a crop, 0 to 255, below which nothing can be judged


@dataclass(frozen=True)
class FrameResult:
    """Result of one frame.

    Args:
        frame: The frame that was pushed.
        tracks: Confirmed tracks at this frame, by id.
        clips: Clips completed by this frame.
        crops: Track id → crop of this frame, uint8 (S, S, 3); only of faces seen recently.
        ended: Ids of the confirmed tracks that ended with this frame.
        cut: Whether a new scene, size or clock starts with this frame.
        detected: Whether faces were looked for in this frame.
        searched: Whether the whole of it was searched; else only around the known faces.
        reasons: Track id → why it has no clip; only tracks that have had none lately.
    """

    frame: Frame
    tracks: tuple[Track, ...] = ()
    clips: tuple[Clip, ...] = ()
    crops: Mapping[int, np.ndarray] = field(default_factory=dict)
    ended: tuple[int, ...] = ()
    cut: bool = False
    detected: bool = False
    searched: bool = False
    reasons: Mapping[int, str] = field(default_factory=dict)

    def track(self, clip: Clip) -> Track:
        """Return the track that a clip of this frame belongs to."""
        return next(track for track in self.tracks if track.id == clip.track_id)


class FaceClipper:
    """Faces looked for every k frames, tracked between, a crop of every frame, clips by time.

    The result depends on the frames and their times alone: the same frames give the same clips,
    read from a file or from a camera. Tracks end at a scene cut, at a change of the picture's
    size, with a new segment of the source, and when time runs backwards (a source that started
    again).

    Args:
        spec: What the model expects of a clip.
        detector: Finds the faces.
        detect_every: Look for faces in every k-th frame, at least 1; also after a cut and when
            twice the time of k frames at 25 fps has passed.
        stride_ms: Least time between two clips of a track (see `ClipBuffer`).
        min_face: Tracks whose box is smaller, in pixels, have quality "small"; nearly black crops
            make it "dark". Their clips come all the same: what to make of them is the caller's.
        varied: Vary the clips' intervals (see `ClipBuffer`).
        search: Where they are looked for, and which; by itself in the whole picture every time, all
            that the detector finds, which is how training's clips are cut.

    Attributes:
        measure: Called with "detect" or "crop", gives the context in which that is done: an
            observer's stopwatch. Does nothing until somebody sets it.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        spec: ClipSpec,
        detector: FaceDetector,
        detect_every: int = DETECT_EVERY,
        stride_ms: float | None = None,
        min_face: float = MIN_FACE,
        varied: bool = False,
        search: SearchRule = WHOLE,
    ) -> None:
        if detect_every < 1:
            raise ValueError(f"detect_every: expected at least 1, received {detect_every}")
        self.spec = spec
        self.detector = detector
        self.detect_every = detect_every
        self.min_face = min_face
        self.search = search
        self.measure: Callable[[str], AbstractContextManager[object]] = lambda stage: nullcontext()
        # Two detection rounds at 25 fps, which bridges one miss: so long a face that is not found
        # any more is cropped at its last place. Then its crops pause; no clip spans the gap.
        self._two_rounds_ms = 2 * detect_every * SMOOTHING_MS
        self._tracker = Tracker(spec.smoothing, max(MAX_GAP_MS, self._two_rounds_ms))
        self._search = FaceSearch(detector, detect_every, search)
        self._buffer = ClipBuffer(spec, stride_ms, varied)
        self._cuts = CutDetector()
        self._repeats = RepeatDetector()
        self._shape: tuple[int, ...] | None = None
        self._segment = 0
        self._time_ms: float | None = None
        self._detected_ms = 0.0
        self._since = detect_every  # frames since the detector ran; full = run it now
        self._tracks: tuple[Track, ...] = ()
        self._clip_ended_ms: dict[int, float] = {}  # track → end of its newest clip

    def push(self, frame: Frame) -> FrameResult:
        """Take the next frame of the source.

        A frame with the very time of the one before is passed over: it gives the same tracks and
        neither crops nor clips. So is a frame that repeats the picture before it in a video full
        of such frames, which is as slow as its pictures change.

        Args:
            frame: Image uint8 (H, W, 3) RGB and its time.
        """
        repeated = self._repeats.push(frame.image)
        if repeated or frame.time_ms == self._time_ms:
            return FrameResult(frame, self._tracks, reasons=self._reasons())
        before = {track.id for track in self._tracks}
        cut = self._is_new_scene(frame)
        if cut:
            self._restart()
        self._time_ms = frame.time_ms
        detected = self._is_due(frame.time_ms)
        if detected:
            with self.measure("detect"):
                known = self._tracker.expected(frame.time_ms)
                faces = self._search.find(frame.image, frame.time_ms, known)
            found = self._tracker.update(frame.time_ms, faces)
            self._since, self._detected_ms = 0, frame.time_ms
        else:
            found = self._tracker.predict(frame.time_ms)
        self._since += 1
        ended = tuple(sorted(before - {track.id for track in found}))
        for track_id in ended:
            self._buffer.drop(track_id)
        with self.measure("crop"):
            crops, clips = self._cut_out(frame, found)
        self._tracks = tuple(self._graded(track, crops.get(track.id)) for track in found)
        self._clip_ended_ms.update((clip.track_id, frame.time_ms) for clip in clips)
        for track_id in ended:
            self._clip_ended_ms.pop(track_id, None)
        return FrameResult(
            frame,
            self._tracks,
            clips,
            crops,
            ended,
            cut,
            detected,
            searched=detected and self._search.was_full,
            reasons=self._reasons(),
        )

    def reason(self, track_id: int) -> str:
        """Say in one line why this track has no clip yet; "" when nothing stands in the way."""
        reason = self._buffer.reason(track_id)
        return f"{reason}; {self._repeats.note}" if reason and self._repeats.note else reason

    def _reasons(self) -> dict[int, str]:
        ended, now_ms = self._clip_ended_ms, self._time_ms or 0.0
        patience_ms = 2 * self.spec.frames * self.spec.slowest_ms
        without = [t.id for t in self._tracks if now_ms - ended.get(t.id, -np.inf) > patience_ms]
        return {track: self.reason(track) for track in without}

    def _is_new_scene(self, frame: Frame) -> bool:
        shape, self._shape = self._shape, frame.image.shape
        backwards = self._time_ms is not None and frame.time_ms < self._time_ms
        resized = shape is not None and shape != frame.image.shape
        segment, self._segment = self._segment, frame.segment
        other_picture = self._cuts.push(frame.image)
        return backwards or resized or segment != frame.segment or other_picture

    def _restart(self) -> None:
        self._tracker.reset()
        self._buffer.clear()
        self._search.restart()
        self._since = self.detect_every

    def _is_due(self, time_ms: float) -> bool:
        return self._since >= self.detect_every or time_ms - self._detected_ms > self._two_rounds_ms

    def _graded(self, track: Track, crop: np.ndarray | None) -> Track:
        if track.box[2] < self.min_face:
            return dataclasses.replace(track, quality="small")
        if crop is not None and float(crop.mean()) < DARK:
            return dataclasses.replace(track, quality="dark")
        return track

    def _cut_out(
        self, frame: Frame, tracks: Sequence[Track]
    ) -> tuple[dict[int, np.ndarray], tuple[Clip, ...]]:
        """Crop every face seen recently and hand the crops to the clip buffer."""
        crops: dict[int, np.ndarray] = {}
        clips: list[Clip] = []
        for track in tracks:
            if track.unseen_ms > self._two_rounds_ms:
                continue
            crop = square_crop(frame.image, track.box, self.spec.margin, self.spec.size)
            crops[track.id] = crop
            clip = self._buffer.push(track.id, frame.time_ms, crop, frame.damaged)
            if clip is not None:
                clips.append(clip)
        return crops, tuple(clips)
