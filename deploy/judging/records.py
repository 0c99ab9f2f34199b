"""The JSON Lines a run writes, one function per kind; docs/json-lines.md describes the fields.

Every line carries `type`, `source`, `model_id` and `domain`. Numbers are finite or null, never NaN.
"""

from __future__ import annotations

import itertools
import json
import math
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from deploy.bundle import Bundle
from deploy.judging.verdict import Decision, Label
from keras_ddl import __version__
from keras_ddl.edge.clips import Clip

SCHEMA = 2
DIGITS = 6
SPEC_FIELDS = ("frames", "interval_ms", "size", "margin", "smoothing", "threshold", "temperature")

Record = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One clip on a timeline: when it ended, its score, and what that led to.

    The score is a dot in the colour of the verdict; the smoothed score is the line.
    """

    time_ms: float
    track: int
    score: float
    smoothed: float
    label: Label


@dataclass(frozen=True)
class ScoredClip:
    """A clip and what the model and the judge made of it.

    Attributes:
        clip: Crops and their times.
        box: x, y, w, h of the face in the picture of the clip's last frame, in pixels.
        probability: The model's raw `fake_probability`.
        decision: The track's verdict after this clip.
        poor: Why the clip is not usable (small, blurred); empty when it is.
        heat: The map, float32 (T, h, w) in [0, 1], of the bundle's kind; None where it has none.
    """

    clip: Clip
    box: tuple[float, float, float, float]
    probability: float
    decision: Decision
    poor: str = ""
    heat: np.ndarray | None = None

    @property
    def start_ms(self) -> float:
        """Time of the first frame."""
        return float(self.clip.times_ms[0])

    @property
    def time_ms(self) -> float:
        """Time of the last frame."""
        return float(self.clip.times_ms[-1])

    @property
    def point(self) -> Point | None:
        """Its point on a timeline; None when its score is not a number."""
        if not math.isfinite(self.probability):
            return None
        smoothed, label = self.decision.probability, self.decision.label
        shown = self.probability if smoothed is None else smoothed
        return Point(self.time_ms, self.clip.track_id, self.probability, shown, label)


class Recorder:
    """The records of one source, with the fields that all share.

    Args:
        bundle: The model that speaks.
        source: What it speaks of; credentials are hidden already.
        recording: Stands for a recording that may be judged again: its events then have the ids
            that they had, of this, track and time. "" = ids that no other run has.
    """

    def __init__(self, bundle: Bundle, source: str, recording: str = "") -> None:
        self._bundle = bundle
        self._source = source
        self._recording = recording
        self._run = secrets.token_hex(6)  # ids of two runs, or two sources, never meet
        self._numbers = itertools.count(1)

    def _record(self, kind: str, time_ms: float, **fields: object) -> Record:
        record: Record = {"type": kind, "source": self._source, "time_ms": number(time_ms)}
        record |= fields
        record["model_id"] = self._bundle.model_id
        record["domain"] = self._bundle.domain
        return record

    def start(self, **fields: object) -> Record:
        """The first line: who judges what, and by which rule."""
        spec = self._bundle.spec
        shown: Record = {name: getattr(spec, name) for name in SPEC_FIELDS}
        shown |= {"detector": spec.detector, "training": dict(spec.training)}
        facts: Record = {"at": self._at(), "schema": SCHEMA, "version": __version__, **fields}
        return self._record("start", 0.0, **facts, spec=shown)

    def clip(self, scored: ScoredClip) -> Record:
        """One clip of one track."""
        decision = scored.decision
        return self._record(
            "clip",
            scored.time_ms,
            start_ms=number(scored.start_ms),
            track=scored.clip.track_id,
            box=[round(float(value), 1) for value in scored.box],
            fake_probability=number(scored.probability),
            probability_smoothed=number(decision.probability),
            verdict=decision.label.value,
            reason=decision.reason,
        )

    def verdict(
        self, time_ms: float, track: int | None, previous: Label | None, decision: Decision
    ) -> Record:
        """An event: a change of a track's verdict, or of the picture's to NO_FACE (track null)."""
        return self._record(
            "verdict",
            time_ms,
            event=self._event(time_ms, track),
            at=self._at(),
            track=track,
            verdict=decision.label.value,
            previous=previous.value if previous else None,
            probability_smoothed=number(decision.probability),
            reason=decision.reason,
        )

    def _event(self, time_ms: float, track: int | None) -> str:
        if not self._recording:
            return f"{self._run}-{next(self._numbers)}"
        return f"{self._recording}-{'none' if track is None else track}-{time_ms:.0f}"

    def end(self, time_ms: float, **fields: object) -> Record:
        """The last line: totals, verdicts on means, latencies."""
        return self._record("end", time_ms, at=self._at(), **fields)

    def _at(self) -> str:
        return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def number(value: float | None) -> float | None:
    """A float for JSON: rounded; None for None, NaN and infinities."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), DIGITS)


def to_line(record: Record) -> str:
    """A record as one line of strict JSON, without the line break."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
