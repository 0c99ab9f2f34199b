"""The glue: source → faces and clips → model → verdicts → sinks. Knows nothing of command lines."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from deploy import overlay
from deploy.backends import Backend
from deploy.bundle import SYNTHETIC, Bundle
from deploy.drawing import Point
from deploy.quality import why_poor
from deploy.records import Record, Recorder, ScoredClip, number
from deploy.sinks import Output, Sink
from deploy.sources import Source
from deploy.timing import NullTimes
from deploy.verdict import Decision, Judge, Label, policy_for
from keras_ddl.clips import Clip
from keras_ddl.errors import UserError
from keras_ddl.faceclips import FaceClipper, Step
from keras_ddl.faces import Track

BATCH = 8  # clips per call of the model at most
NO_FACE_MS = 1000.0  # nobody in sight for longer than this is NO_FACE
NO_FACE = Decision(Label.NO_FACE, None, "no face in sight")
BANNERS = {
    True: "synthetic-trained model on synthetic footage",
    False: "synthetic-trained model: no verdict on real footage",
}


@dataclass(frozen=True)
class Parts:
    """What a run is made of; the caller opens and closes it.

    Attributes:
        source: Frames.
        clipper: Faces, tracks and clips.
        detector: Its name, for the records.
        bundle: The model's contract.
        backend: The model.
        sinks: Where results go.
        footage: What the source shows: "real" or "synthetic" faces.
        heat: Draw the inconsistency map over the faces.
        times: Observer of the stages' duration.
    """

    source: Source
    clipper: FaceClipper
    detector: str
    bundle: Bundle
    backend: Backend
    sinks: Sequence[Sink] = ()
    footage: str = "real"
    heat: bool = False
    times: NullTimes = field(default_factory=NullTimes)


class Pipeline:
    """One source judged from its first frame to its last."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._recorder = Recorder(parts.bundle)
        self.judge = Judge(policy_for(parts.bundle, parts.footage, parts.source.still))
        self._said: dict[int, Label] = {}  # last verdict reported per track
        self._newest: dict[int, ScoredClip] = {}
        self._points: deque[Point] = deque()
        self._seen_ms = 0.0
        self._absent = False
        self._why_none = NO_FACE.reason  # as long as there is no clip
        self._frames = 0
        self._clips = 0
        self._time_ms = 0.0
        self._wants_picture = any(sink.wants_picture for sink in parts.sinks)

    def run(
        self, stop: Callable[[], bool] = lambda: False, limit_ms: float | None = None
    ) -> Record:
        """Go through the source and return the closing record, which the sinks got too.

        Args:
            stop: Asked before every frame; true ends the run in good order.
            limit_ms: Ends the run at this time of the source.

        Raises:
            UserError: the source broke off; the sinks have got the closing record by then.
        """
        self._emit(Output((self._start(),)))
        try:
            ended = self._walk(stop, limit_ms)
        except UserError:
            self._emit(Output((self._end("error"),)))
            raise
        end = self._end(ended)
        self._emit(Output((end,)))
        return end

    def _walk(self, stop: Callable[[], bool], limit_ms: float | None) -> str:
        frames = iter(self._parts.source)
        while not stop():
            with self._parts.times.measure("decode"):
                frame = next(frames, None)
            if frame is None:
                return "stopped" if stop() else "source"
            if limit_ms is not None and frame.time_ms >= limit_ms:
                return "limit"
            with self._parts.times.measure("faces"):
                step = self._parts.clipper.push(frame)
            self._step(step)
        return "stopped"

    def _step(self, step: Step) -> None:
        self._frames += 1
        self._time_ms = step.frame.time_ms
        scored = self._score(step)
        records: list[Record] = []
        for item in scored:
            records.append(self._recorder.clip(item))
            records += self._verdict_change(item)
        records += self._absence(step)
        if step.tracks and not self._clips:
            self._why_none = self._parts.clipper.reason(step.tracks[0].id)
        for track in step.ended:
            self._newest.pop(track, None)
            self._said.pop(track, None)
        picture = None
        if self._wants_picture:
            with self._parts.times.measure("draw"):
                picture = overlay.draw(step.frame.image, self._scene(step))
        self._emit(Output(tuple(records), step.frame, scored, picture))

    def _score(self, step: Step) -> tuple[ScoredClip, ...]:
        """Run the model on the clips of a step, a few at a time, and judge them."""
        scored: list[ScoredClip] = []
        tracks = {track.id: track for track in step.tracks}
        for first in range(0, len(step.clips), BATCH):
            clips = step.clips[first : first + BATCH]
            with self._parts.times.measure("infer"):
                outputs = self._parts.backend.infer({"clip": np.stack([c.frames for c in clips])})
            maps = outputs.get("inconsistency_map")
            for index, clip in enumerate(clips):
                heat = None if maps is None else maps[index]
                probability = float(outputs["fake_probability"][index])
                scored.append(self._judge(clip, tracks[clip.track_id], probability, heat))
        return tuple(scored)

    def _judge(
        self, clip: Clip, track: Track, probability: float, heat: np.ndarray | None
    ) -> ScoredClip:
        poor = why_poor(clip, track, self._parts.clipper.min_face)
        decision = self.judge.update(clip.track_id, probability, poor)
        scored = ScoredClip(clip, track.box, probability, decision, poor, heat)
        self._clips += 1
        self._newest[clip.track_id] = scored
        if (mark := point(scored)) is not None:
            self._points.append(mark)
        while self._points and self._points[0].time_ms < self._time_ms - overlay.SPAN_MS:
            self._points.popleft()
        return scored

    def _verdict_change(self, scored: ScoredClip) -> list[Record]:
        track, label = scored.clip.track_id, scored.decision.label
        previous = self._said.get(track)
        if label is previous:
            return []
        self._said[track] = label
        return [self._recorder.verdict(scored.time_ms, track, previous, scored.decision)]

    def _absence(self, step: Step) -> list[Record]:
        """One record when the last face has been gone for a second; faces coming back end it."""
        if step.tracks:
            self._seen_ms = step.frame.time_ms
            self._absent = False
        gone = step.frame.time_ms - self._seen_ms > NO_FACE_MS
        if not gone or self._absent:
            return []
        self._absent = True
        return [self._recorder.verdict(step.frame.time_ms, None, None, NO_FACE)]

    def _scene(self, step: Step) -> overlay.Scene:
        bundle = self._parts.bundle
        banner = ""
        if bundle.domain == SYNTHETIC:
            banner = BANNERS[self._parts.footage == SYNTHETIC]
        footer = f"model {bundle.model_id} | {self._parts.detector} | {self._parts.backend.name}"
        faces = tuple(self._mark(track) for track in step.tracks)
        policy = self.judge.policy
        return overlay.Scene(step.frame.time_ms, faces, tuple(self._points), policy, footer, banner)

    def _mark(self, track: Track) -> overlay.FaceMark:
        decision = self.judge.current(track.id)
        label = decision.label if decision else Label.UNCERTAIN
        probability = decision.probability if decision else None
        newest = self._newest.get(track.id)
        heat = None
        if self._parts.heat and newest is not None and newest.heat is not None:
            heat = face_part(newest.heat[-1], self._parts.bundle.spec.margin)
        note = self._parts.clipper.reason(track.id) if newest is None else newest.poor
        return overlay.FaceMark(track.id, track.box, label, probability, note, heat)

    def _start(self) -> Record:
        parts, policy = self._parts, self.judge.policy
        return self._recorder.start(
            source=parts.source.name,
            live=parts.source.live,
            fps=number(parts.source.fps),
            backend=parts.backend.name,
            detector=parts.detector,
            footage=parts.footage,
            abstain=policy.abstain,
            fake_from=number(policy.fake_from),
            real_to=number(policy.real_to),
        )

    def _end(self, ended: str) -> Record:
        tracks, video = self.judge.conclude()
        for summary in (*tracks.values(), video):
            summary["fake_probability"] = number(summary["fake_probability"])
        if not self._clips and not self.judge.policy.abstain:
            video["reason"] = f"no clips: {self._why_none}"
        return self._recorder.end(
            self._time_ms,
            ended=ended,
            frames=self._frames,
            dropped=self._parts.source.dropped,
            clips=self._clips,
            tracks={str(track): summary for track, summary in tracks.items()},
            video=video,
            latency_ms=self._parts.times.summary(),
        )

    def _emit(self, output: Output) -> None:
        for sink in self._parts.sinks:
            sink.write(output)


def point(scored: ScoredClip) -> Point | None:
    """A clip's mark on a timeline; None when its score is not a number."""
    if not math.isfinite(scored.probability):
        return None
    smoothed = scored.decision.probability
    label = scored.decision.label
    shown = scored.probability if smoothed is None else smoothed
    return Point(scored.time_ms, scored.clip.track_id, scored.probability, shown, label)


def face_part(values: np.ndarray, margin: float) -> np.ndarray:
    """The middle of a map (h, w) of the whole crop that covers the face box."""
    high, wide = values.shape
    top, left = round(high * (1 - 1 / margin) / 2), round(wide * (1 - 1 / margin) / 2)
    return values[top : max(high - top, top + 1), left : max(wide - left, left + 1)]
