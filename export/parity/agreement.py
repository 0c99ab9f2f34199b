"""Agreement of two runtimes' answers to the same clips, and the tolerances for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from keras_ddl.edge.metrics import auc

SURE = 13.8  # log-odds of a probability of 1 − 10⁻⁶: beyond it float32 has few digits left


@dataclass(frozen=True)
class Answers:
    """Answers of one runtime to some clips.

    Attributes:
        probability: Fake probability ``(N,)`` in [0, 1].
        margin: Its log-odds before the sigmoid ``(N,)``; None where only the probability is known.
        map: Inconsistency map ``(N, T, h, w)``; None where there is none.
        runtime: What answered, in words.
    """

    probability: np.ndarray
    margin: np.ndarray | None
    map: np.ndarray | None
    runtime: str


@dataclass(frozen=True)
class Agreement:
    """Distances of a candidate's answers from the reference's.

    Attributes:
        clips: Number of clips compared.
        probability: Largest absolute difference of the fake probability; nan where an answer is.
        mean: Mean absolute difference of it.
        logit: Largest absolute difference of the margin, logit fake − logit real.
        logit_mean: Mean absolute difference of it.
        largest_logit: Largest magnitude of the reference's margins; differences are shares of it.
        flips: Clips whose decision at the threshold differs.
        auc: AUC of the candidate − AUC of the reference, clip by clip; None without both classes.
        inconsistency: Largest absolute difference of the map; None where there is none. Which
            positions are kept is a choice, so rounding may change single entries by all of 1.
        map_mean: Mean absolute difference of the map of that clip in which it is largest.
        runtime: What answered, in words.
        worst: Index of the clip with the largest difference of the probability.
    """

    clips: int
    probability: float
    mean: float
    logit: float
    logit_mean: float
    largest_logit: float
    flips: int
    auc: float | None
    inconsistency: float | None
    map_mean: float | None
    runtime: str
    worst: int = 0

    def among(self, others: Agreement) -> Agreement:
        """The same, its logits judged by the largest of more clips: few may all be unsure."""
        return replace(self, largest_logit=max(self.largest_logit, others.largest_logit))

    def __str__(self) -> str:
        auc_change = "not defined, one class" if self.auc is None else f"{self.auc:+.4f}"
        shown = ""
        if self.inconsistency is not None:
            shown = f", map max {self.inconsistency:.1e} mean {self.map_mean:.1e}"
        return (
            f"max |Δp| {self.probability:.1e}, mean {self.mean:.1e}; max |Δlogit| "
            f"{self.logit:.1e} of {self.largest_logit:.1f}, mean {self.logit_mean:.1e}; "
            f"{self.flips} flips of {self.clips}; ΔAUC {auc_change}{shown} ({self.runtime})"
        )


@dataclass(frozen=True)
class Tolerance:
    """Largest distances of answers that pass.

    Attributes:
        probability: Largest difference of the fake probability.
        logit: Largest difference of the margin, as a share of the reference's largest, or of 1
            where that is smaller.
        auc: Largest difference of the AUC. Of 16 clips of each class one pair is 0.004.
        flips: Share of the clips whose decision may change.
        map_mean: Largest mean difference of a clip's map, whose single entries rounding may choose
            otherwise; a map of another place or frame is beyond it. None: not judged.
    """

    probability: float
    logit: float
    auc: float
    flips: float
    map_mean: float | None = None


# Of logits below 1 the bound is the probability's: it changes by a quarter of them at most.
# A graph against Keras. In fp32 a clip that lies at the threshold may fall on either side of it.
EXPORTED = {
    "fp32": Tolerance(1e-4, 1e-3, 0.005, flips=1.0, map_mean=2e-3),
    "fp16": Tolerance(1e-2, 4e-2, 0.02, flips=0.0),
    "int8": Tolerance(5e-2, 0.2, 0.05, flips=0.0),
}
# A prepared graph, or an engine, against ONNX Runtime with the bundle's graph.
PREPARED = {
    "fp32": Tolerance(1e-3, 1e-2, 0.005, flips=1.0),
    "fp16": Tolerance(1e-2, 4e-2, 0.02, flips=0.05),
    "int8": Tolerance(5e-2, 0.2, 0.05, flips=0.05),
}
# Float16 that is float16, on noise: DFDC finds nothing there that stands out, so rounding chooses
# other positions (seen: 7 % of the logit, where faces give 0.7 %). An overflow is far beyond this.
HALF_ON_NOISE = Tolerance(0.5, 0.25, 1.0, flips=1.0)


def agreement(
    reference: Answers, candidate: Answers, threshold: float, labels: np.ndarray | None = None
) -> Agreement:
    """Compare two runtimes' answers to the same clips.

    Args:
        reference: What is right.
        candidate: What would ship.
        threshold: Probability at and above which a clip is fake.
        labels: ``(N,)``, 1 = fake; None where they are not known.
    """
    first, second = reference.probability, candidate.probability
    apart = np.abs(first - second)
    if reference.margin is None or candidate.margin is None:
        margins = [log_odds(first), log_odds(second)]
    else:
        margins = [reference.margin, candidate.margin]
    logits = np.abs(margins[0] - margins[1])
    maps = None
    if reference.map is not None and candidate.map is not None:
        maps = np.abs(reference.map - candidate.map)
    return Agreement(
        clips=len(first),
        probability=float(apart.max()),
        mean=float(apart.mean()),
        logit=float(logits.max()),
        logit_mean=float(logits.mean()),
        largest_logit=float(np.abs(margins[0]).max()),
        flips=int(np.sum((first >= threshold) != (second >= threshold))),
        auc=_auc_change(labels, margins),
        inconsistency=None if maps is None else float(maps.max()),
        map_mean=None if maps is None else float(maps.mean(axis=(1, 2, 3)).max()),
        runtime=candidate.runtime,
        worst=int(np.nan_to_num(apart, nan=np.inf).argmax()),
    )


def _auc_change(labels: np.ndarray | None, margins: list[np.ndarray]) -> float | None:
    """By margins: sure probabilities are all 1 in float32."""
    if labels is None or len(np.unique(labels)) < 2 or not np.all(np.isfinite(margins)):
        return None
    before, after = (auc(labels, margin) for margin in margins)
    return float(after - before)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 − p)), within ± `SURE`."""
    p = probability.astype(np.float64)
    with np.errstate(divide="ignore"):
        return np.asarray(np.clip(np.log(p) - np.log1p(-p), -SURE, SURE))


def broken(found: Agreement, tolerance: Tolerance) -> list[str]:
    """What is beyond the tolerance, in words; what is not a number is."""
    top = tolerance.logit * max(1.0, found.largest_logit)
    limits = [
        ("|Δp|", found.probability, tolerance.probability),
        ("|Δlogit|", found.logit, top),
        ("|ΔAUC|", abs(found.auc or 0.0), tolerance.auc),
        ("flips", found.flips, float(int(tolerance.flips * found.clips))),
    ]
    if tolerance.map_mean is not None:
        limits.append(("map mean", found.map_mean or 0.0, tolerance.map_mean))
    return [f"{name} at most {most:g}" for name, value, most in limits if not value <= most]
