"""`OperatingPoint`: temperature, threshold and bound of REAL, chosen on validation alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keras_ddl.data.prepared import Key
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.measured import CALIBRATION
from keras_ddl.edge.metrics import roc, two_classes
from keras_ddl.evaluation.calibration import ece, fit_temperature, probabilities_from_margins
from keras_ddl.evaluation.clip_scores import Scores

RECORD = CALIBRATION
"""Where the record lies in `ClipSpec.metrics`."""
_DIGITS = 6
_THRESHOLD_DIGITS = 4
LEAST = 3  # videos of a class that a bound is foreseen from
EDGE = 1e-6
"""How close to 0 and 1 a threshold may come: float32 probabilities tell nothing finer apart."""
BY_REALS = (
    "of reals like those of validation {:.1%} are called fake: bound of a prediction interval of a "
    "real video's log-odds, taken for normal, from {} reals"
)
RULE = (
    "highest balanced accuracy of validation videos; middle of the widest interval of thresholds "
    "that reach it; ties: the interval nearest to 0.5"
)


class Threshold(NamedTuple):
    """A chosen threshold.

    Attributes:
        value: In (0, 1), the middle of the interval, to four digits where that stays inside.
        low, high: Every threshold in (low, high] gives the same verdicts, or as good ones.
        balanced_accuracy: Mean of the shares of fakes and of reals judged rightly, in [0, 1].
    """

    value: float
    low: float
    high: float
    balanced_accuracy: float


@dataclass(frozen=True)
class OperatingPoint:
    """How a run's logits become verdicts, as `clipspec.json` and `test.json` keep it.

    Args:
        split: `val`.
        fingerprint: Of the prepared clips.
        clips, videos: How many it was chosen on.
        temperature: Divides the logits; fitted on clips.
        bounded: See `Temperature`.
        nll_before, nll_after, ece_before, ece_after: Of the validation clips, at temperature 1 and
            at the fitted one.
        threshold: Chosen on videos, after the temperature.
        rule: How the threshold was chosen.
        interval: See `Threshold.low`.
        balanced_accuracy: See `Threshold`.
        real_to: Up to which probability a video may be called real, see `real_bound`; 0 where no
            fakes but pseudo-fakes are known, or the threshold was chosen by both classes.
    """

    split: str
    fingerprint: str
    clips: int
    videos: int
    temperature: float
    bounded: str
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float
    threshold: float
    rule: str
    interval: Sequence[float]
    balanced_accuracy: float
    real_to: float = 0.0

    @classmethod
    def fit(
        cls,
        keys: tuple[Key, ...],
        labels: np.ndarray,
        margins: np.ndarray,
        fingerprint: str,
        false_alarms: float = 0.0,
        true_fakes: bool = True,
    ) -> OperatingPoint:
        """Fit the temperature to clips, then choose the threshold on their videos.

        Args:
            keys, labels, margins: One per validation clip; see `calibration`.
            fingerprint: Of the prepared clips they come from.
            false_alarms: Share of real videos that may be called fake, see `threshold_by_reals`; 0
                chooses by `RULE` instead. As many forgeries may be called real, see `real_bound`.
            true_fakes: Whether the fakes are forgeries and not pseudo-fakes, which cannot say how
                a forgery looks to the network.

        Raises:
            ValueError: One class alone.
        """
        fitted = fit_temperature(labels, margins)
        before, after = (
            probabilities_from_margins(margins, value) for value in (1.0, fitted.value)
        )
        videos = Scores(keys, labels, after).videos()
        if false_alarms:
            chosen = threshold_by_reals(videos.labels, videos.probabilities, false_alarms)
        else:
            chosen = choose_threshold(videos.labels, videos.probabilities)
        real_to = 0.0
        if false_alarms and true_fakes and np.sum(videos.labels == 1) >= LEAST:
            found = real_bound(videos.labels, videos.probabilities, false_alarms)
            real_to = min(found, chosen.value)
        reals = int((videos.labels == 0).sum())
        return cls(
            split="val",
            fingerprint=fingerprint,
            clips=len(labels),
            videos=len(videos.labels),
            temperature=fitted.value,
            bounded=fitted.bounded,
            nll_before=round(fitted.nll_before, _DIGITS),
            nll_after=round(fitted.nll_after, _DIGITS),
            ece_before=round(ece(labels, before), _DIGITS),
            ece_after=round(ece(labels, after), _DIGITS),
            threshold=chosen.value,
            rule=BY_REALS.format(false_alarms, reals) if false_alarms else RULE,
            interval=[round(chosen.low, _DIGITS), round(chosen.high, _DIGITS)],
            balanced_accuracy=round(chosen.balanced_accuracy, _DIGITS),
            real_to=real_to,
        )

    @classmethod
    def of(cls, spec: ClipSpec) -> OperatingPoint | None:
        """Return the point that a spec carries, None where nothing was chosen for it."""
        found = spec.metrics.get(RECORD)
        return None if found is None else cls(**found)

    def onto(self, spec: ClipSpec) -> ClipSpec:
        """Return a spec that carries this point; doing so twice changes nothing more."""
        return spec.replace(
            temperature=self.temperature,
            threshold=self.threshold,
            real_to=self.real_to,
            metrics={**spec.metrics, RECORD: asdict(self)},
        )


def choose_threshold(labels: ArrayLike, scores: ArrayLike) -> Threshold:
    """Choose a threshold by `RULE`.

    Args:
        labels, scores: One per video; scores in [0, 1]. A score at the threshold is fake.

    Raises:
        ValueError: One class alone, a score outside [0, 1].
    """
    y, s = two_classes(labels, scores)
    if s.min() < 0 or s.max() > 1:
        raise ValueError(f"scores must lie in [0, 1], got {s.min():g} to {s.max():g}")
    reached, spans = _best_spans(y, s)
    low, high = max(spans, key=lambda span: (span[1] - span[0], -abs(sum(span) / 2 - 0.5)))
    middle = (low + high) / 2
    readable = round(middle, _THRESHOLD_DIGITS)
    value = next(number for number in (readable, middle, high) if low < number <= high)
    return Threshold(value, low, high, reached)


def threshold_by_reals(labels: ArrayLike, scores: ArrayLike, share: float) -> Threshold:
    """Choose the threshold that so many reals exceed, whatever the fakes do.

    A handful of reals cannot show a rare false alarm; their spread can foresee it. The log-odds of
    real videos are taken for normal, with unknown mean and variance, and the threshold is the upper
    bound of the prediction interval of another one.

    Args:
        labels, scores: One per video; scores in [0, 1].
        share: Of the reals that may be called fake, in (0, 0.5).

    Raises:
        ValueError: One class alone, fewer than three reals, a share outside (0, 0.5).
    """
    y, s = two_classes(labels, scores)
    _need(share, int((y == 0).sum()), "real")
    value = _prediction_bound(s[y == 0], 1 - share)
    balanced = ((s[y == 1] >= value).mean() + (s[y == 0] < value).mean()) / 2
    return Threshold(value, value, value, float(balanced))


def real_bound(labels: ArrayLike, scores: ArrayLike, share: float) -> float:
    """Choose the probability below which so many fakes fall: up to it a video may be called real.

    The mirror of `threshold_by_reals`: the lower bound of the prediction interval of another fake
    like those. Where a network tells little apart it lies far below the threshold, and what is
    between the two is uncertain.

    Args:
        labels, scores: One per video; scores in [0, 1].
        share: Of the fakes that may be called real, in (0, 0.5).

    Raises:
        ValueError: One class alone, fewer than three fakes, a share outside (0, 0.5).
    """
    y, s = two_classes(labels, scores)
    _need(share, int((y == 1).sum()), "fake")
    return _prediction_bound(s[y == 1], share)


def _need(share: float, videos: int, kind: str) -> None:
    if not 0 < share < 0.5 or videos < LEAST:
        raise ValueError(
            f"expected a share of false alarms in (0, 0.5) and at least {LEAST} {kind} videos to "
            f"choose a bound on, received {share:g} and {videos}"
        )


def _prediction_bound(scores: np.ndarray, quantile: float) -> float:
    """The bound that another score like these stays below with that probability, to four digits."""
    odds = np.log(np.clip(scores, EDGE, 1 - EDGE) / (1 - np.clip(scores, EDGE, 1 - EDGE)))
    reach = _student_quantile(quantile, len(odds) - 1) * odds.std(ddof=1)
    bound = float(odds.mean() + reach * np.sqrt(1 + 1 / len(odds)))
    value = float(np.clip(1 / (1 + np.exp(-bound)), EDGE, 1 - EDGE))
    readable = round(value, _THRESHOLD_DIGITS)
    return readable if EDGE < readable < 1 else value


def _student_quantile(share: float, freedom: int) -> float:
    """Quantile of Student's t; to 1 % from 4 degrees of freedom on (Abramowitz, Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / freedom**power for power, term in enumerate(terms, 1)))


def _best_spans(y: np.ndarray, s: np.ndarray) -> tuple[float, list[tuple[float, float]]]:
    """The best balanced accuracy, and the spans (low, high] of thresholds that reach it."""
    s = np.clip(s, EDGE, 1 - EDGE)
    false, true = roc(y, s)
    balanced = (true + 1 - false) / 2  # one per verdict: "nothing is fake", then score by score
    ends = np.concatenate([[1 - EDGE], np.unique(s)[::-1], [EDGE]])  # falling
    balanced[ends[:-1] == ends[1:]] = -1  # no threshold gives this verdict
    best = np.append(False, np.isclose(balanced, balanced.max(), rtol=0, atol=1e-12))
    spans: list[tuple[float, float]] = []
    for place in np.flatnonzero(best[1:]):
        low, high = float(ends[place + 1]), float(ends[place])
        if best[place]:  # so is the verdict before: one span
            low, high = low, spans.pop()[1]
        spans.append((low, high))
    return float(balanced.max()), spans
