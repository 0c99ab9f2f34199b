"""What a result shows of each face: scores over time, the moments that decided, pictures."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deploy.drawing import canvas as drawing
from deploy.drawing.canvas import COLORS, encoded
from deploy.drawing.panels import CROPS, THUMB, Panel, contact_sheet
from deploy.judging.records import Point, ScoredClip, number
from deploy.judging.verdict import Label, Policy
from deploy.sinks.base import Output, Sink
from keras_ddl.edge.optional_import import need

SHOWN = 12  # faces with pictures; the others are counted
REMEMBERED = 48  # faces with pictures while it is not known which are shown
MOMENTS = 3  # of a face
APART_MS = 1000.0  # between two of them
KEPT_CROPS = 4 * CROPS  # of a face; when there are more, every other one goes
POINTS = 480  # of a face
HIGH = 200  # of a moment's picture, px
WIDEST = 480  # of its frame, px
GAP = 4
QUALITY = 82
RANKS = {label.value: rank for rank, label in enumerate((Label.FAKE, Label.UNCERTAIN, Label.REAL))}


@dataclass(frozen=True)
class Moment:
    """A clip that speaks most clearly for one of the two.

    Attributes:
        rank: What it is chosen by; the higher the better.
        time_ms: When its last frame is shown.
        probability: The model's score.
        poor: Why the clip is not usable; "" when it is.
        jpeg: The frame with the face marked, the crop, and where the network looked.
    """

    rank: tuple[bool, float]
    time_ms: float
    probability: float
    poor: str
    jpeg: bytes = field(repr=False)


class Extremes:
    """The clips with the highest scores, or with the lowest, some time apart."""

    def __init__(self, sign: float) -> None:
        self._sign = sign
        self.moments: list[Moment] = []

    def offer(self, scored: ScoredClip, image: np.ndarray) -> None:
        """Take a clip, if it is among them; only then its picture is drawn."""
        rank = (not scored.poor, self._sign * scored.probability)
        near = [m for m in self.moments if abs(m.time_ms - scored.time_ms) < APART_MS]
        rivals = near or (self.moments if len(self.moments) >= MOMENTS else [])
        if rivals:
            weakest = max(near, key=_rank) if near else min(rivals, key=_rank)
            if rank <= weakest.rank:
                return
            gone = near or [weakest]
            self.moments = [moment for moment in self.moments if moment not in gone]
        picture = encoded(_moment_picture(scored, image), ".jpg", QUALITY)
        moment = Moment(rank, scored.time_ms, scored.probability, scored.poor, picture)
        self.moments = sorted([*self.moments, moment], key=_rank, reverse=True)


@dataclass
class _Face:
    clips: int = 0
    points: list[Point] = field(default_factory=list)
    crops: list[tuple[np.ndarray, np.ndarray | None]] = field(default_factory=list)
    high: Extremes = field(default_factory=lambda: Extremes(1.0))
    low: Extremes = field(default_factory=lambda: Extremes(-1.0))

    def take(self, scored: ScoredClip, image: np.ndarray | None) -> None:
        self.clips += 1
        if (point := scored.point) is None:
            return
        self.points.append(point)
        cv2 = need("cv2", "drawing evidence")
        middle = len(scored.clip.frames) // 2
        small = cv2.resize(scored.clip.frames[middle], (THUMB, THUMB), interpolation=cv2.INTER_AREA)
        self.crops.append((small, None if scored.heat is None else scored.heat[middle].copy()))
        if len(self.crops) > KEPT_CROPS:
            del self.crops[1::2]
        if image is not None:
            self.high.offer(scored, image)
            self.low.offer(scored, image)


class FaceCollector(Sink):
    """Sink that keeps what a result shows of the faces of one file; its memory is bounded."""

    name = "faces"

    def __init__(self) -> None:
        self._faces: dict[int, _Face] = {}

    def write(self, output: Output) -> None:
        """Take the judged clips."""
        image = None if output.frame is None else output.frame.image
        for scored in output.scored:
            self._faces.setdefault(scored.clip.track_id, _Face()).take(scored, image)
        while len(self._faces) > REMEMBERED:  # the one seen least, the newest aside
            fewest = min(list(self._faces)[:-1], key=lambda track: self._faces[track].clips)
            del self._faces[fewest]

    def conclude(
        self, tracks: Sequence[dict[str, Any]], policy: Policy, length_ms: float, folder: Path
    ) -> list[dict[str, Any]]:
        """Write the pictures and return the faces, the most suspicious first.

        Args:
            tracks: `track`, `clips`, `fake_probability`, `verdict` and `reason` of each.
            policy: The rule that they were judged by.
            length_ms: Of the video.
            folder: Of the pictures.

        Raises:
            OSError: no room.
        """
        known = [facts for facts in tracks if facts["track"] in self._faces]
        chosen = sorted(known, key=_suspicion)[:SHOWN]
        shown = []
        for place, facts in enumerate(chosen, 1):
            face = self._faces[facts["track"]]
            picture = f"face-{place}.png"
            sheet = _sheet(face, facts, policy, length_ms)
            (folder / picture).write_bytes(encoded(sheet, ".png"))
            extremes = face.low if facts["verdict"] == Label.REAL.value else face.high
            moments = []
            for index, moment in enumerate(extremes.moments, 1):
                name = f"face-{place}-moment-{index}.jpg"
                (folder / name).write_bytes(moment.jpeg)
                moments.append(_told(moment, name))
            line = _line(face.points)
            shown.append({**facts, "timeline": line, "moments": moments, "picture": picture})
        return shown


def _told(moment: Moment, picture: str) -> dict[str, Any]:
    return {
        "time_ms": number(moment.time_ms),
        "fake_probability": number(moment.probability),
        "unusable": moment.poor,
        "picture": picture,
    }


def _suspicion(facts: dict[str, Any]) -> tuple[int, float, int]:
    score = facts["fake_probability"]
    return RANKS[facts["verdict"]], 1.0 if score is None else -score, facts["track"]


def _rank(moment: Moment) -> tuple[bool, float]:
    return moment.rank


def _line(points: Sequence[Point]) -> list[list[float]]:
    """Up to `POINTS` of [time in ms, score, smoothed score]; of many the highest of each part."""
    rows = [[round(p.time_ms, 1), round(p.score, 4), round(p.smoothed, 4)] for p in points]
    if len(rows) <= POINTS:
        return rows
    edges = np.linspace(rows[0][0], rows[-1][0], POINTS + 1)[1:-1].tolist()
    best: dict[int, list[float]] = {}
    for row in rows:
        place = bisect_left(edges, row[0])
        if place not in best or row[1] > best[place][1]:
            best[place] = row
    return [best[place] for place in sorted(best)]


def _sheet(face: _Face, facts: dict[str, Any], policy: Policy, length_ms: float) -> np.ndarray:
    """The crops, where the network looked, and the scores, as the contact sheet has them."""
    count = min(CROPS, len(face.crops))
    chosen = [face.crops[i] for i in np.linspace(0, len(face.crops) - 1, count).round().astype(int)]
    panel = Panel(
        title=f"face {facts['track']}",
        truth="",
        label=Label(facts["verdict"]),
        probability=facts["fake_probability"],
        reason=facts["reason"],
        crops=tuple(crop for crop, _ in chosen),
        heats=tuple(heat for _, heat in chosen if heat is not None),
        points=tuple(face.points),
        length_ms=length_ms,
        policy=policy,
    )
    return contact_sheet([panel], "above: the face; below: where the network looked")


def _moment_picture(scored: ScoredClip, image: np.ndarray) -> np.ndarray:
    """The frame with the face marked, its crop, and the crop under the map: (200, W, 3)."""
    cv2 = need("cv2", "drawing evidence")
    high, wide = image.shape[:2]
    scale = min(HIGH / high, WIDEST / wide)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    frame = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    x, y, w, h = (round(value * scale) for value in scored.box)
    color = COLORS[scored.decision.label]
    cv2.rectangle(frame, (x, y), (x + w, y + h), (16, 18, 22), 4, cv2.LINE_AA)
    cv2.rectangle(frame, (x, y), (x + w, y + h), color, 2, cv2.LINE_AA)
    crop = cv2.resize(scored.clip.frames[-1], (HIGH, HIGH), interpolation=cv2.INTER_AREA)
    parts = [frame, crop]
    if scored.heat is not None:
        marked = crop.copy()
        drawing.heat(marked, (0, 0, HIGH, HIGH), np.nan_to_num(scored.heat[-1]))
        parts.append(marked)
    total = sum(part.shape[1] for part in parts) + GAP * (len(parts) - 1)
    picture = np.full((HIGH, total, 3), 24, np.uint8)
    left = 0
    for part in parts:
        tall, across = part.shape[:2]
        top = (HIGH - tall) // 2
        picture[top : top + tall, left : left + across] = part
        left += across + GAP
    return picture
