"""A run as plain data for JSON: what the page shows and `/api/status` returns."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from threading import Lock
from typing import Any

from deploy.control import Control, SourceStatus
from deploy.dashboard.evidence_files import EvidenceFiles
from deploy.dashboard.sink import DashboardSink
from deploy.judging.records import number
from deploy.telemetry import Telemetry, stage_rank
from keras_ddl import __version__

STATUS_S = 0.2  # the run is asked how it is doing at most this often, however many watch
TIMING_S = 5.0  # and for the percentiles of all stages this often


@dataclass(frozen=True)
class Seen:
    """How much of a run a visitor has seen: revisions of its history and its evidence."""

    history: int = 0
    evidence: int = 0


@dataclass
class Report:
    """Puts together what is asked for; every method may be called from any thread.

    Attributes:
        control: The run.
        sink: What it gave.
        telemetry: What it counted.
        evidence: Its evidence folders.
        pages: Paths of the further pages of its server.
    """

    control: Control
    sink: DashboardSink
    telemetry: Telemetry
    evidence: EvidenceFiles
    pages: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self._lock = Lock()
        self._sources: tuple[SourceStatus, ...] = ()
        self._asked = -STATUS_S
        self._timing: dict[str, Any] = {}
        self._timed = -TIMING_S
        self._started = time.monotonic()

    def sources(self) -> tuple[SourceStatus, ...]:
        """All sources, as they were a moment ago."""
        with self._lock:
            if time.monotonic() - self._asked >= STATUS_S:
                self._sources = self.control.status()
                self._asked = time.monotonic()
            return self._sources

    def status(self) -> dict[str, Any]:
        """Everything at this moment but scores and events."""
        return {
            "version": __version__,
            "pages": self.pages,
            "rules": self.sink.history.rules(),
            **self._now(),
        }

    def update(self, seen: Seen) -> tuple[dict[str, Any], Seen]:
        """What the page needs to go on from what it has seen."""
        news = self.sink.history.since(seen.history)
        revision, evidence = self.evidence.since(seen.evidence)
        message = {**self._now(), **news}
        kept = self.sink.history.event_ids() if evidence else set()
        message["evidence"] = {event: names for event, names in evidence.items() if event in kept}
        if seen == Seen():
            message |= {"version": __version__, "pages": self.pages}
        return message, Seen(news["revision"], revision)

    def _now(self) -> dict[str, Any]:
        return {
            "uptime_s": round(time.monotonic() - self._started, 1),
            "sources": [self._source(source) for source in self.sources()],
            "run": self._run(),
            **self.timing(),
        }

    def events(self, limit: int) -> list[dict[str, Any]]:
        """The newest events with the names of their evidence files, newest first."""
        _, evidence = self.evidence.since(0)
        events = self.sink.history.events(limit)
        return [{**event, "evidence": evidence.get(event["event"], [])} for event in events]

    def find(self, identity: str) -> SourceStatus | None:
        """The source with this id; None where there is none."""
        found = (one for one in self.sources() if identify(one.name) == identity)
        return next(found, None)

    def timing(self) -> dict[str, Any]:
        """Milliseconds per stage and source, and each stage's part of the CPU time."""
        names = [source.name for source in self.sources()]
        with self._lock:
            if time.monotonic() - self._timed >= TIMING_S:
                stages = {name: self.telemetry.summary(name) for name in names}
                shares = self.telemetry.cpu_share()
                self._timing = {
                    "stages": {
                        name: {stage: summary[stage] for stage in sorted(summary, key=stage_rank)}
                        for name, summary in stages.items()
                    },
                    "cpu_share": {stage: round(share, 4) for stage, share in shares.items()},
                }
                self._timed = time.monotonic()
            return self._timing

    def _source(self, source: SourceStatus) -> dict[str, Any]:
        faces = [{**asdict(face), "probability": number(face.probability)} for face in source.faces]
        return {
            **asdict(source.health),
            "id": identify(source.name),
            "name": source.name,
            "live": source.live,
            "fps": round(source.fps, 2),
            "dropped": source.health.dropped | self._dropped(source),
            "faces": faces,
            "latency_ms": {name: number(value) for name, value in source.latency_ms.items()},
        }

    def _run(self) -> dict[str, Mapping[str, int]]:
        """What belongs to no source: items that wait, what sinks lost, and where they failed."""
        totals = self.telemetry.totals()
        dropped = {cause: count for (cause, source), count in totals.dropped.items() if not source}
        return {"queues": totals.depths, "dropped": dropped, "failures": totals.failures}

    def _dropped(self, source: SourceStatus) -> dict[str, int]:
        """What the run threw away of a source; a cause the source counts too is the larger one."""
        own = source.health.dropped
        totals = self.telemetry.totals().dropped
        return {
            cause: max(count, own.get(cause, 0))
            for (cause, name), count in totals.items()
            if name == source.name
        }


def identify(name: str) -> str:
    """A source's id in addresses: its name may hold anything, a hash holds letters and digits."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:12]
