"""Verdicts per track from clip scores: smoothed, with hysteresis, a hold and a cool-down.

A bundle's `fake_probability` is calibrated inside its graph. Nothing here applies the temperature.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from deploy.bundle import SYNTHETIC, Bundle

WINDOW = 5  # clips whose log-odds are averaged
MIN_CLIPS = 2  # usable clips before anything is claimed
BAND = 0.1  # FAKE from threshold + BAND, REAL down to threshold - BAND, UNCERTAIN between
HOLD_MS = 400.0  # a claim is made when clips have supported it for this long
COOLDOWN_MS = 1000.0  # and stands this long before another is made
KEPT_TRACKS = 1000  # tracks that ended and are still reported one by one at the end
CLAMP = 1e-6  # probabilities are kept this far from 0 and 1, so that log-odds stay finite

SYNTHETIC_ONLY = "model trained on synthetic faces only"
STILL = "a still picture shows nothing over time"
TOO_FEW = "fewer than {} usable clips"
BETWEEN = "score between the thresholds"
NOT_FINITE = "the model returned a score that is not a number"


class Label(str, Enum):
    """The four things that can be said; NO_FACE is about a picture, the others about a face."""

    REAL = "REAL"
    UNCERTAIN = "UNCERTAIN"
    FAKE = "FAKE"
    NO_FACE = "NO_FACE"


@dataclass(frozen=True)
class Decision:
    """A verdict and why.

    Attributes:
        label: REAL, UNCERTAIN or FAKE.
        probability: Smoothed probability of fake; None before the first usable clip.
        reason: In words, for an operator.
    """

    label: Label
    probability: float | None
    reason: str


@dataclass(frozen=True)
class Policy:
    """The rule that turns probabilities over time into a label.

    FAKE is entered from `fake_from` on and left below `middle`; REAL is entered down to `real_to`
    and left above `middle`. So a score that wavers at an edge makes no alarm of its own.

    Attributes:
        threshold: Where fake begins, from the model's spec.
        real_bound: Where real ends, from the model's spec. With it both edges are those that were
            measured, and `band` does not move them; 0 = not chosen.
        abstain: Why this model must not judge this footage at all; empty when it may.
        window: Usable clips whose log-odds are averaged.
        min_clips: Usable clips before anything is claimed.
        band: Distance from the threshold at which a claim is entered.
        hold_ms: A new label must be supported for this long before it is given.
        cooldown_ms: A label once given stands for at least this long.
    """

    threshold: float = 0.5
    real_bound: float = 0.0
    abstain: str = ""
    window: int = WINDOW
    min_clips: int = MIN_CLIPS
    band: float = BAND
    hold_ms: float = HOLD_MS
    cooldown_ms: float = COOLDOWN_MS

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"expected a threshold in (0, 1), received {self.threshold}")
        if not 0.0 <= self.real_bound <= self.threshold:
            received = f"{self.real_bound} at threshold {self.threshold}"
            raise ValueError(f"expected a real_bound of 0 to the threshold, received {received}")
        if self.window < 1 or self.min_clips < 1 or self.band < 0.0:
            received = f"{self.window}, {self.min_clips}, {self.band}"
            raise ValueError(f"expected window, min_clips >= 1, band >= 0, received {received}")
        if not (self.hold_ms >= 0.0 and self.cooldown_ms >= 0.0):
            received = f"{self.hold_ms}, {self.cooldown_ms}"
            raise ValueError(f"expected hold_ms, cooldown_ms >= 0, received {received}")

    @property
    def fake_from(self) -> float:
        """Lowest probability called FAKE; never beyond halfway from the threshold to 1."""
        if self.real_bound:
            return self.threshold
        return self.threshold + min(self.band, (1.0 - self.threshold) / 2.0)

    @property
    def real_to(self) -> float:
        """Highest probability called REAL; never beyond halfway from the threshold to 0."""
        if self.real_bound:
            return self.real_bound
        return self.threshold - min(self.band, self.threshold / 2.0)

    @property
    def middle(self) -> float:
        """Where a label that was given is left again."""
        return (self.threshold + self.real_bound) / 2.0 if self.real_bound else self.threshold

    def decide(
        self,
        probability: float | None,
        usable: int,
        poor: str = "",
        held: Label = Label.UNCERTAIN,
    ) -> Decision:
        """Label a probability, whatever the time.

        Args:
            probability: In [0, 1]; None when there is none yet.
            usable: Clips of acceptable quality it rests on.
            poor: Why the present clip is not usable; empty when it is.
            held: The label given so far, whose exit is farther than its entrance.
        """
        if self.abstain:
            return Decision(Label.UNCERTAIN, probability, self.abstain)
        if poor:
            return Decision(Label.UNCERTAIN, probability, poor)
        if probability is None or usable < self.min_clips:
            return Decision(Label.UNCERTAIN, probability, TOO_FEW.format(self.min_clips))
        if probability >= self.fake_from:
            return Decision(Label.FAKE, probability, f"score >= {self.fake_from:.2f}")
        if probability <= self.real_to:
            return Decision(Label.REAL, probability, f"score <= {self.real_to:.2f}")
        if held is Label.FAKE and probability >= self.middle:
            return Decision(held, probability, f"score not below {self.middle:.2f} again")
        if held is Label.REAL and probability <= self.middle:
            return Decision(held, probability, f"score not above {self.middle:.2f} again")
        return Decision(Label.UNCERTAIN, probability, BETWEEN)


def policy_for(bundle: Bundle, footage: str, still: bool = False) -> Policy:
    """The policy for a model on footage of a kind ("real" or "synthetic").

    A still picture never gets a verdict: what these models look for happens over time.

    A model that saw synthetic faces only can know nothing about real footage: its scores are
    reported there, but it never gives a verdict.
    """
    blind = bundle.domain == SYNTHETIC and footage != SYNTHETIC
    abstain = SYNTHETIC_ONLY if blind else STILL if still else ""
    return Policy(bundle.spec.threshold, bundle.spec.real_to, abstain=abstain)


@dataclass
class _Totals:
    """What is left of clips when they are gone."""

    clips: int = 0
    usable: int = 0
    scored: int = 0
    total: float = 0.0  # sum of the probabilities of scored clips

    def add(self, other: _Totals) -> None:
        self.clips += other.clips
        self.usable += other.usable
        self.scored += other.scored
        self.total += other.total


@dataclass
class _TrackState:
    recent: deque[float]
    totals: _Totals = field(default_factory=_Totals)
    decision: Decision = field(default=Decision(Label.UNCERTAIN, None, ""))
    changed_ms: float = -math.inf  # when the label was given
    wanted: Label = Label.UNCERTAIN  # the label that the newest clips support
    wanted_ms: float = -math.inf  # since when


class Judge:
    """The scores of every track and the verdicts that they amount to.

    A clip of poor quality counts and is reported, but it does not enter the smoothing window.
    Memory is bounded: of the tracks that `end` was called for, the newest 1000 are kept one by
    one, the others as part of the sum.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._tracks: dict[int, _TrackState] = {}
        self._ended: dict[int, _Totals] = {}
        self._older = _Totals()
        self.left_out = 0  # tracks that are in the sum alone

    def update(
        self, track: int, time_ms: float, probability: float, poor: str = "", counts: bool = True
    ) -> Decision:
        """Take in a clip's probability and return the track's present verdict.

        Args:
            track: Its number.
            time_ms: When the clip ended.
            probability: The model's answer; not finite counts as poor.
            poor: Why the clip is not usable; empty when it is.
            counts: Whether its probability enters the mean of all clips; that of a picture that
                was damaged on its way says nothing of what was filmed.
        """
        state = self._tracks.setdefault(track, _TrackState(deque(maxlen=self.policy.window)))
        totals = state.totals
        totals.clips += 1
        if not math.isfinite(probability):
            poor = NOT_FINITE
        elif counts:
            totals.scored += 1
            totals.total += probability
        if not poor:
            totals.usable += 1
            state.recent.append(_log_odds(probability))
        smoothed = _mean_probability(state.recent)
        wanted = self.policy.decide(smoothed, totals.usable, poor, state.decision.label)
        state.decision = self._settle(state, time_ms, wanted)
        return state.decision

    def _settle(self, state: _TrackState, time_ms: float, wanted: Decision) -> Decision:
        """The label that is given when the newest clips support `wanted`."""
        if wanted.label is not state.wanted:
            state.wanted, state.wanted_ms = wanted.label, time_ms
        held = state.decision.label
        if wanted.label is held:
            return wanted
        supported = time_ms - state.wanted_ms >= self.policy.hold_ms
        cool = time_ms - state.changed_ms >= self.policy.cooldown_ms
        if supported and cool:
            state.changed_ms = time_ms
            return wanted
        why = "supported for too short a time" if not supported else "another verdict just given"
        reason = f"not yet {wanted.label.value} ({wanted.reason}): {why}"
        return Decision(held, wanted.probability, reason)

    def current(self, track: int) -> Decision | None:
        """The track's present verdict; None before its first clip and after its end."""
        state = self._tracks.get(track)
        return state.decision if state else None

    def end(self, track: int) -> None:
        """A track is over: only its sums are kept. Unknown tracks are fine."""
        state = self._tracks.pop(track, None)
        if state is None:
            return
        self._ended[track] = state.totals
        while len(self._ended) > KEPT_TRACKS:
            self._older.add(self._ended.pop(next(iter(self._ended))))
            self.left_out += 1

    def conclude(self) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
        """Verdicts on the mean of all clips: per track, and for the whole video.

        The mean over probabilities is evaluation's video score, which the threshold was chosen on.
        """
        living = {track: state.totals for track, state in self._tracks.items()}
        rows = {**self._ended, **living}
        tracks = {track: self._judge_mean(rows[track]) for track in sorted(rows)}
        everything = _Totals()
        for totals in (self._older, *rows.values()):
            everything.add(totals)
        return tracks, self._judge_mean(everything)

    def _judge_mean(self, totals: _Totals) -> dict[str, Any]:
        mean = totals.total / totals.scored if totals.scored else None
        decision = self.policy.decide(mean, totals.usable)
        return {
            "clips": totals.clips,
            "fake_probability": mean,
            "verdict": decision.label.value,
            "reason": decision.reason,
        }


def _log_odds(probability: float) -> float:
    """Finite also at 0 and 1."""
    clamped = min(max(probability, CLAMP), 1.0 - CLAMP)
    return math.log(clamped / (1.0 - clamped))


def _mean_probability(log_odds: deque[float]) -> float | None:
    return 1.0 / (1.0 + math.exp(-sum(log_odds) / len(log_odds))) if log_odds else None
