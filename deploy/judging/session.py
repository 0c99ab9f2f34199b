"""One source being judged: what was seen and what the model said in, records and pictures out.

No threads and no clocks: the synchronous `deploy.streaming.pipeline` and the threads of
`deploy.streaming.source_worker` both drive this, so a file and a camera get their verdicts by the
same rule.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass

import numpy as np

from deploy.bundle import SYNTHETIC, Bundle
from deploy.control import FaceStatus
from deploy.drawing import overlay
from deploy.drawing.canvas import Point
from deploy.judging.frame_result import Sight
from deploy.judging.quality import why_poor
from deploy.judging.records import Record, Recorder, ScoredClip, number
from deploy.judging.verdict import Decision, Judge, Label, Policy, policy_for
from deploy.sinks.base import Output
from keras_ddl.edge.clipper import MIN_FACE
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces import Track

NO_FACE_MS = 1000.0  # nobody in sight for longer than this is NO_FACE
NO_FACE = Decision(Label.NO_FACE, None, "no face in sight")
BANNERS = {
    True: "synthetic-trained model on synthetic footage",
    False: "synthetic-trained model: no verdict on real footage",
}


@dataclass(frozen=True)
class Setting:
    """Who judges what, and by which rule.

    Attributes:
        source: Its name, credentials hidden.
        bundle: The model's contract.
        backend: What computes, in words.
        detector: Name of the face detector.
        live: Whether time passes by itself.
        still: One picture, over and over.
        fps: Nominal frames per second.
        footage: What the source shows: "real" or "synthetic" faces.
        heat: Draw the inconsistency map over the faces.
        min_face: Faces of fewer pixels are not judged.
    """

    source: str
    bundle: Bundle
    backend: str
    detector: str
    live: bool = False
    still: bool = False
    fps: float = 25.0
    footage: str = "real"
    heat: bool = False
    min_face: float = MIN_FACE


class SourceJudge:
    """The state of one source from its first frame to its last; one call at a time.

    Args:
        setting: Who judges what.
        recorder: Writes the records; None makes one.
    """

    def __init__(self, setting: Setting, recorder: Recorder | None = None) -> None:
        self.setting = setting
        self.judge = Judge(policy_for(setting.bundle, setting.footage, setting.still))
        self.frames = 0
        self.clips = 0
        self.time_ms = 0.0
        self._recorder = recorder or Recorder(setting.bundle, setting.source)
        self._said: dict[int, Label] = {}  # last verdict reported per track
        self._newest: dict[int, ScoredClip] = {}
        self._points: deque[Point] = deque()
        self._waiting: list[Record] = []  # records that no output carries yet
        self._scored: list[ScoredClip] = []
        self._sight: Sight | None = None
        self._asked: Counter[int] = Counter()  # clips per track whose answers are still out
        self._leaving: set[int] = set()  # tracks that are over but for those answers
        self._seen_ms = 0.0
        self._absent = False
        self._why_none = NO_FACE.reason  # as long as there is no clip

    @property
    def policy(self) -> Policy:
        """The rule."""
        return self.judge.policy

    def begin(self, fps: float | None = None) -> Output:
        """The first output: who judges what.

        Args:
            fps: Nominal frames per second, where they are known better than before.
        """
        setting, policy = self.setting, self.judge.policy
        record = self._recorder.start(
            live=setting.live,
            fps=number(setting.fps if fps is None else fps),
            backend=setting.backend,
            detector=setting.detector,
            footage=setting.footage,
            abstain=policy.abstain,
            fake_from=number(policy.fake_from),
            real_to=number(policy.real_to),
        )
        return Output((record,), source=setting.source)

    def score(
        self, clip: Clip, track: Track, probability: float, heat: np.ndarray | None
    ) -> ScoredClip:
        """Take the model's answer for a clip; the next output carries what follows from it.

        Args:
            clip: The clip that was judged.
            track: Its face at the clip's last frame.
            probability: `fake_probability`.
            heat: `inconsistency_map` (T, h, w), None where the model has none.
        """
        poor = why_poor(clip, track, self.setting.min_face)
        time_ms = float(clip.times_ms[-1])
        decision = self.judge.update(clip.track_id, time_ms, probability, poor)
        scored = ScoredClip(clip, track.box, probability, decision, poor, heat)
        self._asked[clip.track_id] -= 1
        self.clips += 1
        self._newest[clip.track_id] = scored
        if (mark := point(scored)) is not None:
            self._points.append(mark)
        while self._points and self._points[0].time_ms < self.time_ms - overlay.SPAN_MS:
            self._points.popleft()
        self._scored.append(scored)
        self._waiting.append(self._recorder.clip(scored))
        previous = self._said.get(clip.track_id, Label.UNCERTAIN)  # so is every face at first
        if decision.label is not previous:
            self._said[clip.track_id] = decision.label
            self._waiting.append(self._recorder.verdict(time_ms, clip.track_id, previous, decision))
        return scored

    def miss(self, clip: Clip) -> None:
        """There will be no answer for a clip."""
        self._asked[clip.track_id] -= 1

    def see(self, sight: Sight) -> None:
        """Take the next frame that was looked at; `score` or `miss` follows for each of its clips.

        Answers may come many frames later: a track that has ended meanwhile waits for its own.
        """
        self._asked.update(clip.track_id for clip in sight.step.clips)
        self.frames += 1
        self.time_ms = sight.step.frame.time_ms
        self._sight = sight

    def output(self, draw: bool = False) -> Output:
        """What has come together since the last output, with the frame if there is a new one.

        Args:
            draw: Add the annotated picture.
        """
        sight, self._sight = self._sight, None
        if sight is not None:
            self._look_for_absence(sight)
            if sight.step.tracks and not self.clips:
                self._why_none = sight.reasons.get(sight.step.tracks[0].id, "") or self._why_none
        picture = None
        if sight is not None and draw:
            picture = overlay.draw(sight.step.frame.image, self.scene(sight))
        records, self._waiting = tuple(self._waiting), []
        scored, self._scored = tuple(self._scored), []
        if sight is not None:
            self._leaving.update(sight.step.ended)
        for track in [track for track in self._leaving if self._asked[track] <= 0]:
            self._forget(track)
        frame = sight.step.frame if sight is not None else None
        return Output(records, frame, scored, picture, self.setting.source)

    def end(self, ended: str, dropped: int, latency_ms: dict[str, dict[str, float]]) -> Output:
        """The last output: totals, and verdicts on the mean of all clips.

        Args:
            ended: Why: "source", "limit", "stopped" or "error".
            dropped: Frames thrown away.
            latency_ms: Percentiles per stage.
        """
        tracks, video = self.judge.conclude()
        for summary in (*tracks.values(), video):
            summary["fake_probability"] = number(summary["fake_probability"])
        if not self.clips and not self.judge.policy.abstain:
            video["reason"] = f"no clips: {self._why_none}"
        record = self._recorder.end(
            self.time_ms,
            ended=ended,
            frames=self.frames,
            dropped=dropped,
            clips=self.clips,
            tracks={str(track): summary for track, summary in tracks.items()},
            tracks_left_out=self.judge.left_out,
            video=video,
            latency_ms=latency_ms,
        )
        records, self._waiting = (*self._waiting, record), []
        return Output(records, source=self.setting.source)

    def faces(self, sight: Sight) -> tuple[FaceStatus, ...]:
        """The faces of a frame and what is thought of them."""
        marks = (self._mark(track, sight) for track in sight.step.tracks)
        return tuple(FaceStatus(m.track, m.label.value, m.probability, m.note) for m in marks)

    def scene(self, sight: Sight) -> overlay.Scene:
        """What to draw on a frame."""
        setting = self.setting
        banner = ""
        if setting.bundle.domain == SYNTHETIC:
            banner = BANNERS[setting.footage == SYNTHETIC]
        footer = f"model {setting.bundle.model_id} | {setting.detector} | {setting.backend}"
        marks = tuple(self._mark(track, sight) for track in sight.step.tracks)
        points, policy = tuple(self._points), self.judge.policy
        return overlay.Scene(sight.step.frame.time_ms, marks, points, policy, footer, banner)

    def _mark(self, track: Track, sight: Sight) -> overlay.FaceMark:
        decision = self.judge.current(track.id)
        label = decision.label if decision else Label.UNCERTAIN
        probability = decision.probability if decision else None
        newest = self._newest.get(track.id)
        heat = None
        if self.setting.heat and newest is not None and newest.heat is not None:
            heat = face_part(newest.heat[-1], self.setting.bundle.spec.margin)
        note = sight.reasons.get(track.id, "") if newest is None else newest.poor
        return overlay.FaceMark(track.id, track.box, label, probability, note, heat)

    def _look_for_absence(self, sight: Sight) -> None:
        """One record when the last face has been gone for a second; faces coming back end it."""
        now_ms = sight.step.frame.time_ms
        if sight.step.tracks or now_ms < self._seen_ms:
            self._seen_ms = now_ms
            self._absent = False
        if now_ms - self._seen_ms > NO_FACE_MS and not self._absent:
            self._absent = True
            self._waiting.append(self._recorder.verdict(now_ms, None, None, NO_FACE))

    def _forget(self, track: int) -> None:
        self._leaving.discard(track)
        del self._asked[track]
        self._newest.pop(track, None)
        self._said.pop(track, None)
        self.judge.end(track)


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
