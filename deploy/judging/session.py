"""The judging of one source: frames and the model's answers in, records out.

No threads and no clocks: the synchronous `deploy.streaming.pipeline` and the threads of
`deploy.streaming.source_worker` both drive this, so a file and a camera get their verdicts by the
same rule.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from deploy.backends import Backend
from deploy.bundle import Bundle
from deploy.control import FaceStatus
from deploy.judging.output import Output
from deploy.judging.quality import why_poor
from deploy.judging.records import Point, Record, Recorder, ScoredClip, number
from deploy.judging.verdict import TOO_FEW, Decision, Judge, Label, policy_for
from deploy.sources.base import Source
from deploy.telemetry import NullTelemetry
from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces import Track

DEADLINE_S = 0.02
TIMELINE_MS = 10_000.0  # scores are remembered this long, for the picture's timeline
NO_FACE_MS = 1000.0  # nobody in sight for longer than this is NO_FACE
NO_FACE = "no face{} in sight"


@dataclass(frozen=True)
class RunDescription:
    """What judges, by which rule and within which bounds, whatever the sources.

    Attributes:
        bundle: The model's contract.
        backend: The model; the caller opens and closes it.
        footage: What the sources show: "real" or "synthetic" faces.
        heat: Draw the map over the faces, and what it is.
        telemetry: Observer.
        limit_ms: A threaded run ends each source at this time of its own.
        max_batch: Most clips in one call of a threaded run; None = what is usual for the backend.
        deadline_s: Longest that a clip of a threaded run waits for others to share a call.
        max_memory: Bytes of resident memory at which a threaded run ends; None = no bound.
        recording: Of one recording that may be judged again: what its events' ids begin with.
    """

    bundle: Bundle
    backend: Backend
    footage: str = "real"
    heat: bool = False
    telemetry: NullTelemetry = field(default_factory=NullTelemetry)
    limit_ms: float | None = None
    max_batch: int | None = None
    deadline_s: float = DEADLINE_S
    max_memory: int | None = None
    recording: str = ""


class SourceJudge:
    """The state of one source from its first frame to its last; one call at a time.

    Args:
        run: What judges.
        source: What is judged.
        clipper: What finds its faces.

    Attributes:
        policy: The rule.
        points: Scores of the last ten seconds.
    """

    def __init__(self, run: RunDescription, source: Source, clipper: FaceClipper) -> None:
        self.run = run
        self.source = source
        self.detector = clipper.detector.name
        self.policy = policy_for(run.bundle, run.footage, source.still)
        self.judge = Judge(self.policy)
        self.frames = 0
        self.clips = 0
        self.time_ms = 0.0
        self.points: deque[Point] = deque()
        self._min_face = clipper.min_face
        self._search = {
            "detect_every": clipper.detect_every,
            "full_search_every": clipper.search.full_every,
            "min_face": number(clipper.search.min_face or None),
        }
        self._recorder = Recorder(run.bundle, source.name, run.recording)
        self._said: dict[int, Label] = {}  # last verdict reported per track
        self._newest: dict[int, ScoredClip] = {}
        self._waiting: list[Record] = []  # records that no output carries yet
        self._scored: list[ScoredClip] = []
        self._result: FrameResult | None = None
        self._asked: Counter[int] = Counter()  # clips per track whose answers are still out
        self._poor: Counter[str] = Counter()  # clips that are not usable, by reason
        self._leaving: set[int] = set()  # tracks that are over but for those answers
        self._seen_ms = 0.0
        self._absent = False
        self._no_face = NO_FACE.format(clipper.search.sizes)
        self._why_none = self._no_face  # there are no clips, or few

    def begin(self) -> Output:
        """Return the first output: who judges what."""
        run, source, policy = self.run, self.source, self.policy
        sample = {} if source.sample is None else {"sample": dict(source.sample)}
        record = self._recorder.start(
            live=source.live,
            fps=number(source.fps),
            backend=run.backend.name,
            decoder=self._decoder(),
            detector=self.detector,
            search=self._search,
            footage=run.footage,
            abstain=policy.abstain,
            fake_from=number(policy.fake_from),
            real_to=number(policy.real_to),
            **sample,
        )
        return Output((record,), source=source.name)

    def score(
        self, clip: Clip, track: Track, probability: float, heat: np.ndarray | None
    ) -> ScoredClip:
        """Take the model's answer for a clip; the next output carries what follows from it.

        Args:
            clip: The clip that was judged.
            track: Its face at the clip's last frame.
            probability: `fake_probability`.
            heat: The map (T, h, w), None where the model has none.
        """
        poor = why_poor(clip, track, self._min_face)
        time_ms = float(clip.times_ms[-1])
        counts = not clip.damaged
        self._poor.update([poor] if poor else [])
        decision = self.judge.update(clip.track_id, time_ms, probability, poor, counts)
        scored = ScoredClip(clip, track.box, probability, decision, poor, heat)
        self._asked[clip.track_id] -= 1
        self.clips += 1
        self._newest[clip.track_id] = scored
        if scored.point is not None:
            self.points.append(scored.point)
        while self.points and self.points[0].time_ms < self.time_ms - TIMELINE_MS:
            self.points.popleft()
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

    def see(self, result: FrameResult) -> None:
        """Take the next frame's result; `score` or `miss` follows for each of its clips.

        Answers may come many frames later: a track that has ended meanwhile waits for its own.
        """
        self._asked.update(clip.track_id for clip in result.clips)
        self.frames += 1
        self.time_ms = result.frame.time_ms
        self._result = result

    def output(self, picture: np.ndarray | None = None) -> Output:
        """Return what has come together since the last output, with the frame if it is new.

        Args:
            picture: The new frame with its marks, uint8 (H, W, 3) RGB.
        """
        result, self._result = self._result, None
        if result is not None:
            self._look_for_absence(result)
            if result.tracks:
                self._why_none = result.reasons.get(result.tracks[0].id, "") or self._why_none
            self._leaving.update(result.ended)
        records, self._waiting = tuple(self._waiting), []
        scored, self._scored = tuple(self._scored), []
        for track in [track for track in self._leaving if self._asked[track] <= 0]:
            self._forget(track)
        frame = result.frame if result is not None else None
        return Output(records, frame, scored, picture, self.source.name)

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
        if not self.clips and not self.policy.abstain:
            video["reason"] = f"no clips: {self._why_none}"
        elif video["reason"] == TOO_FEW.format(self.policy.min_clips) and self._why_few():
            video["reason"] += f": {self._why_few()}"
        record = self._recorder.end(
            self.time_ms,
            ended=ended,
            frames=self.frames,
            dropped=dropped,
            clips=self.clips,
            decoder=self._decoder(),
            tracks={str(track): summary for track, summary in tracks.items()},
            tracks_left_out=self.judge.left_out,
            video=video,
            latency_ms=latency_ms,
        )
        records, self._waiting = (*self._waiting, record), []
        return Output(records, source=self.source.name)

    def faces(self, result: FrameResult) -> tuple[FaceStatus, ...]:
        """Return the faces of a frame, in its tracks' order, and what is thought of them."""
        return tuple(self._status(track, result) for track in result.tracks)

    def heat(self, track: int) -> np.ndarray | None:
        """Return the newest map of a track's crop, (h, w) in [0, 1]; None without one."""
        newest = self._newest.get(track)
        return None if newest is None or newest.heat is None else newest.heat[-1]

    def _status(self, track: Track, result: FrameResult) -> FaceStatus:
        decision = self.judge.current(track.id)
        label = decision.label if decision else Label.UNCERTAIN
        probability = decision.probability if decision else None
        newest = self._newest.get(track.id)
        reason = result.reasons.get(track.id, "") if newest is None else newest.poor
        return FaceStatus(track.id, label.value, probability, reason)

    def _decoder(self) -> str:
        """What decodes the source: before its first picture what will be tried; "" not FFmpeg."""
        return "" if self.source.decoder is None else self.source.decoder.used

    def _why_few(self) -> str:
        """Why most clips are not usable; where they are, why there are no more of them."""
        if self._poor:
            return self._poor.most_common(1)[0][0]
        if self.source.sample is not None or self._why_none == self._no_face:
            return ""  # of a sample no more were wanted
        return self._why_none

    def _look_for_absence(self, result: FrameResult) -> None:
        """One record when the last face has been gone for a second; faces coming back end it."""
        if self.source.sample is not None:
            return  # between two places nobody has looked
        now_ms = result.frame.time_ms
        if result.tracks or now_ms < self._seen_ms:
            self._seen_ms = now_ms
            self._absent = False
        if now_ms - self._seen_ms > NO_FACE_MS and not self._absent:
            self._absent = True
            absent = Decision(Label.NO_FACE, None, self._no_face)
            self._waiting.append(self._recorder.verdict(now_ms, None, None, absent))

    def _forget(self, track: int) -> None:
        self._leaving.discard(track)
        del self._asked[track]
        self._newest.pop(track, None)
        self._said.pop(track, None)
        self.judge.end(track)
