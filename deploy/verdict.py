"""From clip scores to a verdict per track: smoothed, and honest about not knowing.

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
    """The rule that turns a probability into a label.

    Attributes:
        threshold: Where fake begins, from the model's spec.
        abstain: Why this model must not judge this footage at all; empty when it may.
    """

    threshold: float = 0.5
    abstain: str = ""
    window: int = WINDOW
    min_clips: int = MIN_CLIPS
    band: float = BAND

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"expected a threshold in (0, 1), received {self.threshold}")
        if self.window < 1 or self.min_clips < 1 or self.band < 0.0:
            received = f"{self.window}, {self.min_clips}, {self.band}"
            raise ValueError(f"expected window, min_clips >= 1, band >= 0, received {received}")

    @property
    def fake_from(self) -> float:
        """Lowest probability called FAKE; never beyond halfway from the threshold to 1."""
        return self.threshold + min(self.band, (1.0 - self.threshold) / 2.0)

    @property
    def real_to(self) -> float:
        """Highest probability called REAL; never beyond halfway from the threshold to 0."""
        return self.threshold - min(self.band, self.threshold / 2.0)

    def log_odds(self, probability: float) -> float:
        """Log-odds of a probability, finite also at 0 and 1."""
        clamped = min(max(probability, CLAMP), 1.0 - CLAMP)
        return math.log(clamped / (1.0 - clamped))

    def decide(self, probability: float | None, usable: int, poor: str = "") -> Decision:
        """Label a probability.

        Args:
            probability: In [0, 1]; None when there is none yet.
            usable: Clips of acceptable quality it rests on.
            poor: Why the present clip is not usable; empty when it is.
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
        return Decision(Label.UNCERTAIN, probability, BETWEEN)


def policy_for(bundle: Bundle, footage: str, still: bool = False) -> Policy:
    """The policy for a model on footage of a kind ("real" or "synthetic").

    A still picture never gets a verdict: what these models look for happens over time.

    A model that saw synthetic faces only can know nothing about real footage: its scores are
    reported there, but it never gives a verdict.
    """
    blind = bundle.domain == SYNTHETIC and footage != SYNTHETIC
    abstain = SYNTHETIC_ONLY if blind else STILL if still else ""
    return Policy(bundle.spec.threshold, abstain=abstain)


@dataclass
class _TrackState:
    recent: deque[float]
    clips: int = 0
    usable: int = 0
    scored: int = 0
    total: float = 0.0  # sum of the probabilities of scored clips
    decision: Decision = field(default=Decision(Label.UNCERTAIN, None, ""))


class Judge:
    """Keeps the scores of every track and says what they amount to.

    A clip of poor quality counts and is reported, but it does not enter the smoothing window.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._tracks: dict[int, _TrackState] = {}

    def update(self, track: int, probability: float, poor: str = "") -> Decision:
        """Take in a clip's probability and return the track's present verdict."""
        state = self._tracks.setdefault(track, _TrackState(deque(maxlen=self.policy.window)))
        state.clips += 1
        if not math.isfinite(probability):
            poor = NOT_FINITE
        else:
            state.scored += 1
            state.total += probability
        if not poor:
            state.usable += 1
            state.recent.append(self.policy.log_odds(probability))
        state.decision = self.policy.decide(_mean_probability(state.recent), state.usable, poor)
        return state.decision

    def current(self, track: int) -> Decision | None:
        """The track's present verdict; None before its first clip."""
        state = self._tracks.get(track)
        return state.decision if state else None

    def conclude(self) -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
        """Verdicts on the mean of all clips: per track, and for the whole video.

        The mean over probabilities is evaluation's video score, which the threshold was chosen on.
        """
        tracks = {track: self._judge_mean([state]) for track, state in self._tracks.items()}
        return tracks, self._judge_mean(list(self._tracks.values()))

    def _judge_mean(self, states: list[_TrackState]) -> dict[str, Any]:
        scored = sum(state.scored for state in states)
        mean = sum(state.total for state in states) / scored if scored else None
        decision = self.policy.decide(mean, sum(state.usable for state in states))
        return {
            "clips": sum(state.clips for state in states),
            "fake_probability": mean,
            "verdict": decision.label.value,
            "reason": decision.reason,
        }


def _mean_probability(log_odds: deque[float]) -> float | None:
    return _sigmoid(sum(log_odds) / len(log_odds)) if log_odds else None


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + math.exp(-value))
