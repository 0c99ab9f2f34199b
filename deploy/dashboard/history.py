"""Bounded history of a run: scores per track, events, and the rules they were judged by."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from deploy.judging.records import Record

POINTS = 300  # newest scores kept per track
TRACKS = 12  # newest tracks kept per source
EVENTS = 500  # newest events kept, all sources together

RULE_FIELDS = ("fake_from", "real_to", "abstain", "model_id", "domain", "backend", "detector")


@dataclass
class _Source:
    rule: Record = field(default_factory=dict)
    begun: int = 0  # revision at which everything before became void
    # per track: (revision, (time_ms, score, smoothed score, verdict))
    tracks: dict[int, deque[tuple[int, tuple[Any, ...]]]] = field(default_factory=dict)


class History:
    """Store of records that gives what is new since a revision, as plain data for JSON."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sources: dict[str, _Source] = {}
        self._events: deque[tuple[int, Record]] = deque(maxlen=EVENTS)
        self._revision = 0

    @property
    def revision(self) -> int:
        """Grows with everything that is taken."""
        return self._revision

    def add(self, source: str, record: Record) -> None:
        """Take one record."""
        with self._lock:
            self._revision += 1
            known = self._sources.setdefault(source, _Source())
            kind = record.get("type")
            if kind == "start":
                known.rule = {name: record[name] for name in RULE_FIELDS if name in record}
                known.tracks.clear()  # its time begins anew
                known.begun = self._revision
            elif kind == "clip":
                self._add_score(known, record)
            elif kind == "verdict":
                self._events.append((self._revision, record))

    def since(self, revision: int) -> dict[str, Any]:
        """What is newer than a revision; 0 gives everything that is kept.

        Returns:
            `revision` to ask with next time; `events`, oldest first; `scores` per source with
            `cleared` (forget what you have), `rule`, and `tracks`: lists of
            [time_ms, score, smoothed score, verdict].
        """
        with self._lock:
            changes = {name: _changed(one, revision) for name, one in self._sources.items()}
            scores = {name: changed for name, changed in changes.items() if changed}
            events = [event for number, event in self._events if number > revision]
            return {"revision": self._revision, "events": events, "scores": scores}

    def events(self, limit: int = EVENTS) -> list[Record]:
        """The newest events, newest first."""
        with self._lock:
            return [event for _, event in reversed(self._events)][:limit]

    def event_ids(self) -> set[str]:
        """The events that are kept."""
        with self._lock:
            return {str(event["event"]) for _, event in self._events}

    def rules(self) -> dict[str, Record]:
        """Thresholds, model and the like, per source."""
        with self._lock:
            return {name: source.rule for name, source in self._sources.items() if source.rule}

    def _add_score(self, source: _Source, record: Record) -> None:
        time_ms, track = float(record["time_ms"]), int(record["track"])
        points = source.tracks.pop(track, None)
        if points is None:
            points = deque(maxlen=POINTS)
        source.tracks[track] = points  # last: the first one is the longest unseen
        while len(source.tracks) > TRACKS:
            del source.tracks[next(iter(source.tracks))]
        score, smoothed = record.get("fake_probability"), record.get("probability_smoothed")
        points.append((self._revision, (time_ms, score, smoothed, record.get("verdict"))))


def _changed(source: _Source, revision: int) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if source.begun > revision:
        changed["rule"] = source.rule
        if revision:
            changed["cleared"] = True
    tracks = {
        track: new
        for track, points in source.tracks.items()
        if (new := [point for number, point in points if number > revision])
    }
    if tracks:
        changed["tracks"] = tracks
    return changed
