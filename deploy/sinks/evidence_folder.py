"""A folder of evidence per FAKE event; docs/evidence.md says what lies in it."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.bundle import Bundle
from deploy.evidence.frame_ring import FrameRing
from deploy.evidence.manifest import Witness, draft_of, folder_name
from deploy.evidence.partial import Partial
from deploy.evidence.pictures import jpeg_of_moment, png_from_heat
from deploy.evidence.recording import Recording, Row, score_row
from deploy.evidence.store import MAX_BYTES, EvidenceStore
from deploy.judging.records import Point, Record, ScoredClip
from deploy.judging.verdict import Label, Policy
from deploy.sinks.base import Output, Sink
from deploy.sinks.evidence_stamps import EvidenceStamps
from deploy.sources.base import DEFAULT_FPS
from keras_ddl.edge.errors import UserError

PRE_MS = 3000.0
POST_MS = 3000.0
LATE_MS = 2000.0  # a verdict may come this much after the frame that it is about
CLIPS = 5  # usable clips of a track that are kept: what the smoothed score rests on
ROWS = 512  # scores kept per track
TRACKS = 16  # tracks remembered per source, the least recently scored is forgotten first
AT_ONCE = 8  # events recorded with video at the same time; more have their scores only
ENCODING_S = 0.015  # per output; the rest waits as JPEG, so that no event holds up what follows
CLOSING_S = 1.0  # when a run is stopped; frames that are not encoded by then are left out
STALLED_S = 10.0  # without a frame for so long, an event ends with what there is
TIDY_S = 3600.0
ROUNDING_MS = 0.001  # times of records are rounded to less than this

log = logging.getLogger(__name__)


@dataclass
class _Track:
    clips: deque[ScoredClip] = field(default_factory=lambda: deque(maxlen=CLIPS))
    rows: deque[Row] = field(default_factory=lambda: deque(maxlen=ROWS))
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=ROWS))


@dataclass
class _Watched:
    """What is remembered of one source."""

    ring: FrameRing
    start: Record = field(default_factory=dict)
    tracks: dict[int, _Track] = field(default_factory=dict)
    recordings: list[Recording] = field(default_factory=list)
    seen: float = field(default_factory=time.monotonic)


class EvidenceFolder(Sink):
    """Records an event when a verdict turns FAKE; trouble costs the event, never the run.

    Args:
        root: Where the folders go; several processes may share it.
        bundle: The model.
        policy: The rule of the verdicts, for the manifest and the picture; None = the default at
            the model's threshold.
        pre_ms: Video before the event.
        post_ms: Video after it.
        max_bytes: What the folders may take together; the oldest go.
        keep_days: How long a folder is kept; None = until the bytes run out.
        key: File of the key that signs, made where it is missing; None = nothing is signed.
        stamps: Address of an authority that stamps the time (RFC 3161); "" = none.
        ca: Certificates to trust for it instead of the system's, PEM.
        facts: What else the manifest shall say, under `facts`.
        repeatable: The events' ids are those of an earlier run over the same recording: folders
            are named by them, one that was finished is not begun again, one that was not is
            thrown away, for the recording will be judged once more.

    Raises:
        ValueError: a number is out of range.
    """

    name = "evidence"

    def __init__(
        self,
        root: Path | str,
        bundle: Bundle,
        policy: Policy | None = None,
        *,
        pre_ms: float = PRE_MS,
        post_ms: float = POST_MS,
        max_bytes: int = MAX_BYTES,
        keep_days: float | None = None,
        key: Path | None = None,
        stamps: str = "",
        ca: Path | None = None,
        facts: Mapping[str, Any] | None = None,
        repeatable: bool = False,
    ) -> None:
        if pre_ms < 0 or post_ms < 0:
            raise ValueError(f"expected pre_ms, post_ms >= 0, received {pre_ms}, {post_ms}")
        self._store = EvidenceStore(root, max_bytes, keep_days, key)
        self._stamps_url, self._ca = stamps, ca
        self._stamps: EvidenceStamps | None = None
        self._bundle = bundle
        self._policy = policy or Policy(bundle.spec.threshold, bundle.spec.real_to)
        self._witness: Witness | None = None
        self._pre_ms, self._post_ms = pre_ms, post_ms
        self._facts = dict(facts or {})
        self._watched: dict[str, _Watched] = {}
        self._tidied = time.monotonic()
        self._close_by = -math.inf
        self._repeatable = repeatable
        self._troubled = False
        self._reason = ""
        self.events = 0
        self.lost = 0

    @property
    def missing(self) -> str:
        return f"{self.lost} events are lost ({self._reason})" if self.lost else ""

    def open(self) -> None:
        """Make the root and the key, and finish what a killed run left.

        Raises:
            UserError: as `EvidenceStore.open`, or the authority's address is none.
        """
        self._opened()

    def _opened(self) -> Witness:
        if self._witness is None:
            self._store.open()
            if self._stamps_url:
                self._stamps = EvidenceStamps(self._stamps_url, self._store, self._ca)
                self._stamps.wake()
            self._witness = Witness(self._bundle, self._policy, self._facts)
        return self._witness

    def write(self, output: Output) -> None:
        """Remember what may become evidence; begin, feed and finish events."""
        self._opened()
        watched = self._watch(output)
        if output.frame is not None:
            watched.seen = time.monotonic()
            kept = watched.ring.push(output.frame)
            for recording in watched.recordings:
                recording.add_frame(kept)
        for scored in output.scored:
            self._remember(watched, scored)
        for record in output.records:
            if record["type"] == "verdict" and record["verdict"] == Label.FAKE.value:
                self._begin(watched, record, output.source)
            elif record["type"] == "end":
                stopped = record.get("ended") == "stopped"
                deadline = self._deadline() if stopped else math.inf
                self._finish_all(watched, "the source ended", deadline)
                self._watched.pop(output.source, None)
        self._advance()

    def close(self) -> None:
        """Finish every event with what there is."""
        for watched in self._watched.values():
            self._finish_all(watched, "the run ended", self._deadline())
        self._watched.clear()
        stamps, self._stamps = self._stamps, None
        if stamps is not None:
            stamps.close()

    def _deadline(self) -> float:
        """When a run that is being stopped must be done with its events; one for all sources."""
        now = time.monotonic()
        if now > self._close_by + CLOSING_S:  # another stop, long after
            self._close_by = now + CLOSING_S
        return self._close_by

    def _watch(self, output: Output) -> _Watched:
        span_ms = self._pre_ms + LATE_MS
        watched = self._watched.get(output.source)
        if watched is None:
            watched = _Watched(FrameRing(span_ms))
        for record in output.records:
            if record["type"] == "start":
                self._finish_all(watched, "the source began anew")
                watched = _Watched(FrameRing(span_ms), record)
        self._watched[output.source] = watched
        return watched

    def _remember(self, watched: _Watched, scored: ScoredClip) -> None:
        number, row = scored.clip.track_id, score_row(scored)
        track = watched.tracks.pop(number, None) or _Track()
        watched.tracks[number] = track  # the newest is last
        while len(watched.tracks) > TRACKS:
            watched.tracks.pop(next(iter(watched.tracks)))
        track.rows.append(row)
        if scored.point is not None:
            if not scored.poor:
                track.clips.append(scored)
            track.points.append(scored.point)
        for recording in watched.recordings:
            recording.add_score(row)

    def _begin(self, watched: _Watched, record: Record, source: str) -> None:
        track = watched.tracks.get(record["track"], _Track())
        draft = draft_of(record, source, watched.start, self._opened())
        try:
            partial = self._partial(draft)
            if partial is None:
                return
            fps = float(watched.start.get("fps") or DEFAULT_FPS)
            until_ms = float(record["time_ms"]) + self._post_ms
            recording = Recording(partial, draft, until_ms, fps)
        except OSError as error:
            self._trouble(error)
            return
        with self._guarded(watched, recording):
            self._fill(recording, watched, track, record)
            watched.recordings.append(recording)

    def _partial(self, draft: Mapping[str, Any]) -> Partial | None:
        """A folder to fill; None where an earlier run has finished this event."""
        if not self._repeatable:
            return self._store.begin(folder_name(draft))
        while not self._store.knows(str(draft["event"])):
            with suppress(FileExistsError):  # another process has just begun the same event
                return self._store.begin(str(draft["event"]))
        return None

    def _fill(self, recording: Recording, watched: _Watched, track: _Track, record: Record) -> None:
        """Write what is known at once: crops, map, picture, scores so far."""
        moment_ms = float(record["time_ms"])
        led = [scored for scored in track.clips if scored.time_ms <= moment_ms + ROUNDING_MS]
        recording.keep_clips(led)
        for row in track.rows:
            recording.add_score(row)
        moment, kind = watched.ring.at(moment_ms), self._bundle.map_kind
        if led and kind is not None:
            recording.keep(kind.picture, png_from_heat(led[-1], kind))
        if led and moment is not None:
            footer = f"model {self._bundle.model_id} | {watched.start.get('backend', '')}"
            marked = (moment.image(), led[-1], track.points, self._policy, footer)
            recording.keep("moment.jpg", jpeg_of_moment(*marked))
        if moment is None:
            recording.without_video("no frames were at hand")
        elif sum(len(other.recordings) for other in self._watched.values()) >= AT_ONCE:
            recording.without_video(f"{AT_ONCE} events were being recorded already")
        else:
            # A verdict that comes late has some frames after it in the pre-roll too.
            oldest, newest = moment_ms - self._pre_ms, moment_ms + self._post_ms
            frames = (kept for kept in watched.ring if oldest <= kept.time_ms <= newest)
            recording.begin_video(frames, moment.picture)
        if not self._repeatable:
            recording.save_draft()

    def _advance(self) -> None:
        """Encode a few frames of the events in turn; finish those that have all they wait for."""
        now = time.monotonic()
        todo = [(w, recording) for w in self._watched.values() for recording in w.recordings]
        for watched, recording in todo:
            if now - watched.seen > STALLED_S and not recording.ended:
                recording.ended = "the source sent nothing more"
        while todo:
            todo = [pair for pair in todo if self._step(*pair)]
            if time.monotonic() - now > ENCODING_S:
                break
        if now - self._tidied > TIDY_S:
            self._tidied = now
            try:
                self._store.tidy()
            except OSError as error:
                log.warning("the quota of evidence is not kept to: %s", error)

    def _step(self, watched: _Watched, recording: Recording) -> bool:
        """Encode a frame of an event; returns whether there is more to encode."""
        done = True
        with self._guarded(watched, recording):
            done = recording.encode()
            if done and recording.ended:
                self._finish(watched, recording)
        return not done

    def _finish_all(self, watched: _Watched, reason: str, deadline: float = math.inf) -> None:
        for recording in list(watched.recordings):
            recording.ended = recording.ended or reason
            with self._guarded(watched, recording):
                self._finish(watched, recording, deadline)

    def _finish(self, watched: _Watched, recording: Recording, deadline: float = math.inf) -> None:
        recording.finish(self._store, deadline)
        watched.recordings.remove(recording)
        self.events += 1
        self._troubled = False
        if self._stamps is not None:
            self._stamps.wake()

    @contextmanager
    def _guarded(self, watched: _Watched, recording: Recording) -> Iterator[None]:
        """Let trouble with an event in this block cost that event alone.

        A disk that stays full is one line in the log, not one per event.
        """
        try:
            yield
        except (OSError, UserError) as error:
            self._trouble(error)
            if recording in watched.recordings:
                watched.recordings.remove(recording)
            try:
                recording.discard()
            except OSError as failure:
                log.debug("taking away an unfinished event: %s", failure)

    def _trouble(self, error: Exception) -> None:
        self.lost += 1
        self._reason = str(getattr(error, "strerror", None) or error)
        if not self._troubled:
            self._troubled = True
            log.warning("no evidence of this event is kept: %s; the run goes on", error)
