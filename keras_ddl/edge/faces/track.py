"""Face tracker: association of detections over time, and a steady square box per face."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from keras_ddl.edge.faces.face import Box, Face

SMOOTHING_MS = 40.0  # the smoothing weight is per this time, whatever the frame rate
MAX_DISTANCE = 0.8  # farthest a face may be from where it is expected, in sides
MAX_RATIO = 1.7  # most a face may change its size from one detection to the next
MAX_GAP_MS = 500.0  # a track whose face was not seen for longer ends
MIN_HITS = 2  # detections that confirm a track: a single false positive makes none
MIN_OVERLAP = 0.3  # with the expected box: then a face is the track's even where it is far
MAX_COAST = 0.5  # farthest the expected place may run ahead of the last one seen, in sides


@dataclass(frozen=True)
class Track:
    """One followed face at one moment.

    Args:
        id: Number of the track, from 1, never reused.
        box: Smoothed canonical square box (x, y, w, h) in pixels.
        time_ms: The moment the box is for.
        hits: Detections joined so far.
        missed: Detection rounds in a row without this face (0 = seen in the last one).
        unseen_ms: Milliseconds since the last detection of this face.
        score: Score of the last detection.
        quality: "ok", "small" (box below the clipper's `min_face`) or "dark" (crop nearly black);
            a verdict on anything but "ok" is uncertain.
        turn: How far the face was turned to a side when it was last detected (see `Face`).
    """

    id: int
    box: Box
    time_ms: float
    hits: int
    missed: int
    unseen_ms: float = 0.0
    score: float = 0.0
    quality: str = "ok"
    turn: float | None = None


@dataclass
class _State:
    """A track in the making: where the face was seen last, and the box that follows it."""

    id: int
    seen: tuple[float, float, float]  # centre x, centre y, side of the last detection
    seen_ms: float
    score: float
    box: tuple[float, float, float]  # the same three, smoothed
    velocity: tuple[float, float] = (0.0, 0.0)  # px per ms, for association only
    hits: int = 1
    missed: int = 0
    turn: float | None = None

    def expected(self, time_ms: float) -> tuple[float, float, float]:
        """Return where the face should be by now: its last place moved on at its velocity."""
        x, y, side = self.seen
        dx, dy = (v * (time_ms - self.seen_ms) for v in self.velocity)
        run = math.hypot(dx, dy)
        factor = min(1.0, MAX_COAST * side / run) if run > 0 else 0.0
        return (x + dx * factor, y + dy * factor, side)

    def see(self, time_ms: float, face: Face) -> None:
        """Take the detection that was found to be this face."""
        new = _centre_side(face.box)
        gap = time_ms - self.seen_ms
        self.velocity = (
            0.5 * self.velocity[0] + 0.5 * (new[0] - self.seen[0]) / gap,
            0.5 * self.velocity[1] + 0.5 * (new[1] - self.seen[1]) / gap,
        )
        self.seen, self.seen_ms, self.score = new, time_ms, face.score
        self.turn = face.turn
        self.hits += 1
        self.missed = 0

    def relax(self, elapsed_ms: float, smoothing: float) -> None:
        """Let the box approach the last detection; size moves half as fast as place."""
        place = smoothing ** (elapsed_ms / SMOOTHING_MS)
        weights = (place, place, math.sqrt(place))
        self.box = (
            weights[0] * self.box[0] + (1 - weights[0]) * self.seen[0],
            weights[1] * self.box[1] + (1 - weights[1]) * self.seen[1],
            weights[2] * self.box[2] + (1 - weights[2]) * self.seen[2],
        )


class Tracker:
    """Tracker of faces over time, with steady boxes.

    A detection goes to the track whose expected place (constant velocity) it is nearest to. The
    returned box stays where the face was seen last and approaches every new detection
    exponentially, frame by frame and by time, so that detecting on every third frame makes no
    jump on every third frame. Only tracks with `MIN_HITS` detections are returned, and a track
    not yet confirmed ends with its first miss: a single false positive makes no track. A young
    track ends after as many misses in a row as it has hits.

    Args:
        smoothing: Weight of the past box per 40 ms, in [0, 1); 0 = the last detection itself. For
            the side of the box its square root is used, because size changes slowly.
        max_gap_ms: A track whose face was not seen for longer ends.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(self, smoothing: float = 0.6, max_gap_ms: float = MAX_GAP_MS) -> None:
        if not 0 <= smoothing < 1 or not max_gap_ms > 0:
            raise ValueError(
                "Tracker: expected smoothing in [0, 1) and max_gap_ms > 0, received "
                f"{smoothing}, {max_gap_ms}"
            )
        self.smoothing = smoothing
        self.max_gap_ms = max_gap_ms
        self._states: list[_State] = []
        self._next_id = 1
        self._time_ms: float | None = None

    def update(self, time_ms: float, faces: Sequence[Face]) -> list[Track]:
        """Take the detections of a frame.

        Args:
            time_ms: The moment of the frame, later than that of the last call.
            faces: All faces the detector found; their order does not matter.

        Returns:
            The confirmed living tracks by id, boxes at this moment.

        Raises:
            ValueError: The time is not later than the last one.
        """
        elapsed = self._advance(time_ms)
        faces = sorted(faces, key=lambda face: (face.box, face.score))
        pairs = self._associate(time_ms, faces)
        for state in self._states:
            if state.id in pairs:
                state.see(time_ms, faces[pairs[state.id]])
            else:
                state.missed += 1
        self._states = [s for s in self._states if self._lives(s)]
        for state in self._states:
            state.relax(elapsed, self.smoothing)
        self._start(time_ms, [f for i, f in enumerate(faces) if i not in pairs.values()])
        return self._tracks(time_ms)

    def predict(self, time_ms: float) -> list[Track]:
        """Advance to a frame on which no detection was run; arguments and result as `update`."""
        elapsed = self._advance(time_ms)
        for state in self._states:
            state.relax(elapsed, self.smoothing)
        return self._tracks(time_ms)

    def expected(self, time_ms: float) -> dict[int, Box]:
        """Return where the faces of all tracks should be at a moment, unconfirmed ones included."""
        living = [s for s in self._states if time_ms - s.seen_ms <= self.max_gap_ms]
        return {state.id: _box(state.expected(time_ms)) for state in living}

    def reset(self) -> None:
        """End every track and forget the time (scene cut, new source); ids go on counting."""
        self._states = []
        self._time_ms = None

    def _lives(self, state: _State) -> bool:
        """A track not confirmed ends with its first miss, a young one after as many as its hits."""
        return state.missed == 0 or MIN_HITS <= state.hits > state.missed

    def _advance(self, time_ms: float) -> float:
        """Move the clock; end tracks unseen for too long; return the milliseconds gone by."""
        last = time_ms if self._time_ms is None else self._time_ms
        if self._time_ms is not None and not time_ms > self._time_ms:
            raise ValueError(
                f"time_ms: expected later than {self._time_ms}, received {time_ms}; call reset "
                "when a source starts again"
            )
        self._time_ms = time_ms
        self._states = [s for s in self._states if time_ms - s.seen_ms <= self.max_gap_ms]
        return time_ms - last

    def _associate(self, time_ms: float, faces: Sequence[Face]) -> dict[int, int]:
        """Return track id → index of its face: nearest pairs first, each used once."""
        candidates = []
        for state in self._states:
            expected = _box(state.expected(time_ms))
            for index, face in enumerate(faces):
                cost = unlikeness(expected, face.box)
                if cost is not None:
                    candidates.append((cost, state.id, index))
        pairs: dict[int, int] = {}
        taken: set[int] = set()
        for _, track_id, index in sorted(candidates):
            if track_id not in pairs and index not in taken:
                pairs[track_id] = index
                taken.add(index)
        return pairs

    def _start(self, time_ms: float, faces: Sequence[Face]) -> None:
        """Start tracks for faces nobody claimed, unless they double a face being followed."""
        for face in sorted(faces, key=lambda face: (-face.score, face.box)):
            found = _centre_side(face.box)
            if any(_shared(state.seen, found) >= MIN_OVERLAP for state in self._states):
                continue
            self._states.append(_State(self._next_id, found, time_ms, face.score, found))
            self._next_id += 1

    def _tracks(self, time_ms: float) -> list[Track]:
        return [
            Track(
                id=state.id,
                box=_box(state.box),
                time_ms=time_ms,
                hits=state.hits,
                missed=state.missed,
                unseen_ms=time_ms - state.seen_ms,
                score=state.score,
                turn=state.turn,
            )
            for state in self._states
            if state.hits >= MIN_HITS
        ]


def unlikeness(expected: Box, found: Box) -> float | None:
    """Return how unlike two squares are (sides, log size), or None where they cannot be one face.

    Args:
        expected: Where a face should be, a square box (x, y, w, h) in pixels.
        found: Where one is.
    """
    a, b = _centre_side(expected), _centre_side(found)
    distance = math.hypot(a[0] - b[0], a[1] - b[1]) / math.sqrt(a[2] * b[2])
    ratio = abs(math.log(a[2] / b[2]))
    if ratio > math.log(MAX_RATIO):
        return None
    if distance > MAX_DISTANCE and _shared(a, b) < MIN_OVERLAP:
        return None
    return distance + ratio


def overlap(a: Box, b: Box) -> float:
    """Return the intersection over union of two square boxes (x, y, w, h)."""
    return _shared(_centre_side(a), _centre_side(b))


def _centre_side(box: Box) -> tuple[float, float, float]:
    x, y, w, h = box
    return (x + w / 2, y + h / 2, max(w, h))


def _box(square: tuple[float, float, float]) -> Box:
    x, y, side = square
    return (x - side / 2, y - side / 2, side, side)


def _shared(a: tuple[float, float, float], b: tuple[float, float, float]) -> float:
    """Return the intersection over union of two squares (centre x, centre y, side)."""
    reach = (a[2] + b[2]) / 2
    width = min(reach - abs(a[0] - b[0]), a[2], b[2])
    height = min(reach - abs(a[1] - b[1]), a[2], b[2])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a[2] ** 2 + b[2] ** 2 - shared)
