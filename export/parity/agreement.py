"""Agreement of two runtimes' answers to the same clips, and the tolerances for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from keras_ddl.edge.metrics import auc

SURE = 13.8  # log-odds of a probability of 1 − 10⁻⁶: beyond it float32 has few digits left
HIGH = 99  # the percentile that is judged
ALIKE = 0.1  # log-odds: answers that differ by less, as an untrained network's, have no order
MAP_MEAN = "map mean"


@dataclass(frozen=True)
class Answers:
    """Answers of one runtime to some clips.

    Attributes:
        probability: Fake probability ``(N,)`` in [0, 1].
        margin: Its log-odds before the sigmoid ``(N,)``; None where only the probability is known.
        map: The map of either kind ``(N, T, h, w)``; None where there is none.
        runtime: What answered, in words.
        kept: Of each choice in the network the places kept, int ``(N, …, k)``; empty where they
            are not known.
    """

    probability: np.ndarray
    margin: np.ndarray | None
    map: np.ndarray | None
    runtime: str
    kept: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class Agreement:
    """Distances of a candidate's answers from the reference's.

    Logits are margins, logit fake − logit real; their errors are given as shares of `spread`.

    Attributes:
        clips: Number of clips compared.
        probability: Largest absolute difference of the fake probability; nan where an answer is.
        mean: Mean absolute difference of it.
        high: 99th percentile of that.
        spread: Standard deviation of the reference's logits over the clips, at least 1.
        logit, logit_mean, logit_high: As of the probability, in spreads.
        flips: Clips whose decision at the threshold differs.
        changed: Those among them whose reference lies further from the threshold than `near`.
        near: Of the probability.
        auc: AUC of the candidate − AUC of the reference, clip by clip; None without both classes,
            or where the reference's logits have a standard deviation below `ALIKE`.
        pair: Weight of one pair of a real and a fake clip in the AUC; 0 without both classes.
        swapped: Share of DFDC's kept places that the candidate chose otherwise, over all clips:
            a near tie may turn by the least rounding; None where they are not known.
        turned: Clips in which any is.
        inconsistency: Largest absolute difference of the map; None where there is none.
        map_mean: Mean absolute difference of the map of that clip in which it is largest.
        runtime: What answered, in words.
        worst, worst_map: Index of the clip with the largest difference of the probability, and
            with `map_mean`.
    """

    clips: int
    probability: float
    mean: float
    high: float
    spread: float
    logit: float
    logit_mean: float
    logit_high: float
    flips: int
    changed: int
    near: float
    auc: float | None
    pair: float
    swapped: float | None
    turned: int
    inconsistency: float | None
    map_mean: float | None
    runtime: str
    worst: int = 0
    worst_map: int = 0

    def __str__(self) -> str:
        auc_change = "not defined" if self.auc is None else f"{self.auc:+.4f}"
        shown = ""
        if self.swapped is not None:
            shown = f"; kept places otherwise {self.swapped:.2%}, in {self.turned} clips"
        if self.inconsistency is not None:
            shown += f"; map max {self.inconsistency:.1e}, mean {self.map_mean:.1e}"
        return (
            f"|Δp| mean {self.mean:.1e}, p{HIGH} {self.high:.1e}, max {self.probability:.1e}; "
            f"|Δlogit| of the spread {self.spread:.2g}: mean {self.logit_mean:.1e}, p{HIGH} "
            f"{self.logit_high:.1e}, max {self.logit:.1e}; {self.flips} flips of {self.clips}, "
            f"{self.changed} further than {self.near:g} from the threshold; ΔAUC {auc_change}"
            f"{shown} ({self.runtime})"
        )


@dataclass(frozen=True)
class Tolerance:
    """Largest distances of answers that pass; why each is what it is: docs/quantization.md.

    Attributes:
        near: Distance of the reference's probability from the threshold within which a decision
            may change; further away none may.
        mean, high, probability: Mean, 99th percentile and largest difference of the probability.
        logit_mean, logit_high, logit: The same of the logits, in spreads.
        auc: Largest difference of the AUC, beside one pair of clips.
        changed: Share of the clips whose decision may change though it lies further away.
        map_mean: Largest mean difference of a clip's map. None: not judged.
        noise, map_noise: Where the reference's own answers change by more under noise, so many
            times that is allowed, but for `probability`, `logit` and `auc`; and of the map.
        level: Of that noise, in grey levels: one, or what the candidate rounds its input to.
    """

    near: float
    mean: float
    high: float
    probability: float
    logit_mean: float
    logit_high: float
    logit: float
    auc: float
    changed: float = 0.0
    map_mean: float | None = None
    noise: float = 0.0
    map_noise: float = 1.0
    level: int = 1

    @property
    def knows_noise(self) -> bool:
        """Whether anything is allowed because noise does as much."""
        return self.noise > 0 or self.map_mean is not None

    def raised(self, own: Agreement) -> Tolerance:
        """The tolerance, given what the least noise changes in the reference's answers."""
        times = self.noise
        return replace(
            self,
            mean=max(self.mean, times * own.mean),
            high=max(self.high, times * own.high),
            logit_mean=max(self.logit_mean, times * own.logit_mean),
            logit_high=max(self.logit_high, times * own.logit_high),
            changed=max(self.changed, times * own.changed / own.clips),
            map_mean=None
            if self.map_mean is None
            else max(self.map_mean, self.map_noise * (own.map_mean or 0.0)),
        )


# A graph against Keras.
EXPORTED = {
    "fp32": Tolerance(1e-4, 1e-5, 1e-4, 1e-4, 1e-4, 1e-3, 1e-3, 0.0, map_mean=2e-3),
    "fp16": Tolerance(0.02, 2e-3, 0.02, 0.2, 0.02, 0.1, 1.0, 0.005, map_mean=0.02, noise=1.0),
    "int8": Tolerance(0.05, 0.01, 0.1, 0.5, 0.05, 0.25, 2.0, 0.01, noise=2.0, level=2),
}
# A prepared graph, or an engine, against ONNX Runtime with the bundle's graph.
PREPARED = {
    **EXPORTED,
    "fp32": Tolerance(1e-3, 1e-4, 1e-3, 1e-3, 1e-3, 1e-2, 1e-2, 0.001, map_mean=2e-3),
}
# Float16 on noise: DFDC finds nothing there that stands out, so rounding chooses other places.
HALF_ON_NOISE = replace(PREPARED["fp16"], near=1.0, noise=2.0)


def agreement(
    reference: Answers,
    candidate: Answers,
    threshold: float,
    labels: np.ndarray | None = None,
    near: float = 0.0,
) -> Agreement:
    """Compare two runtimes' answers to the same clips.

    Args:
        reference: What is right.
        candidate: What would ship.
        threshold: Probability at and above which a clip is fake.
        labels: ``(N,)``, 1 = fake; None where they are not known.
        near: Distance from the threshold within which a changed decision counts as a tie.
    """
    first, second = reference.probability, candidate.probability
    apart = np.abs(first - second)
    if reference.margin is None or candidate.margin is None:
        margins = [log_odds(first), log_odds(second)]
    else:
        margins = [reference.margin, candidate.margin]
    spread = max(1.0, float(np.std(margins[0])))
    logits = np.abs(margins[0] - margins[1]) / spread
    flips = (first >= threshold) != (second >= threshold)
    maps = np.zeros((len(first), 1))
    shown = reference.map is not None and candidate.map is not None
    if reference.map is not None and candidate.map is not None:
        maps = np.abs(reference.map - candidate.map).reshape(len(first), -1)
    otherwise = _swapped(reference.kept, candidate.kept)
    return Agreement(
        clips=len(first),
        probability=float(apart.max()),
        mean=float(apart.mean()),
        high=_high(apart),
        spread=spread,
        logit=float(logits.max()),
        logit_mean=float(logits.mean()),
        logit_high=_high(logits),
        flips=int(flips.sum()),
        changed=int(np.sum(flips & ~(np.abs(first - threshold) <= near))),
        near=near,
        auc=_auc_change(labels, margins),
        pair=_pair(labels),
        swapped=None if otherwise is None else float(otherwise.mean()),
        turned=0 if otherwise is None else int(np.sum(otherwise > 0)),
        inconsistency=float(maps.max()) if shown else None,
        map_mean=float(maps.mean(1).max()) if shown else None,
        runtime=candidate.runtime,
        worst=int(np.nan_to_num(apart, nan=np.inf).argmax()),
        worst_map=int(np.nan_to_num(maps.mean(1), nan=np.inf).argmax()),
    )


def _swapped(first: tuple[np.ndarray, ...], second: tuple[np.ndarray, ...]) -> np.ndarray | None:
    """Share of the kept places that differ, clip by clip ``(N,)``, whatever their order."""
    if not first or [kept.shape for kept in first] != [kept.shape for kept in second]:
        return None
    shares = []
    for one, other in zip(first, second, strict=True):
        known = (one[..., :, None] == other[..., None, :]).any(-1)
        shares.append(1 - known.reshape(len(one), -1).mean(1))
    return np.asarray(np.mean(shares, axis=0))


def _pair(labels: np.ndarray | None) -> float:
    if labels is None or len(np.unique(labels)) < 2:
        return 0.0
    fakes = int(np.sum(labels == 1))
    return 1.0 / (fakes * (len(labels) - fakes))


def _high(values: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):  # between two infinities: not a number, which is refused
        return float(np.percentile(values, HIGH))


def _auc_change(labels: np.ndarray | None, margins: list[np.ndarray]) -> float | None:
    """By margins: sure probabilities are all 1 in float32."""
    if labels is None or len(np.unique(labels)) < 2 or not np.all(np.isfinite(margins)):
        return None
    if np.std(margins[0]) < ALIKE:
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
    limits = [
        ("mean |Δp|", found.mean, tolerance.mean),
        (f"p{HIGH} |Δp|", found.high, tolerance.high),
        ("max |Δp|", found.probability, tolerance.probability),
        ("mean |Δlogit| of the spread", found.logit_mean, tolerance.logit_mean),
        (f"p{HIGH} |Δlogit| of the spread", found.logit_high, tolerance.logit_high),
        ("max |Δlogit| of the spread", found.logit, tolerance.logit),
        ("|ΔAUC|", abs(found.auc or 0.0), tolerance.auc + found.pair),
        (
            f"decisions changed further than {tolerance.near:g} from the threshold",
            found.changed,
            int(tolerance.changed * found.clips + 1e-9),
        ),
    ]
    if tolerance.map_mean is not None:
        limits.append((MAP_MEAN, found.map_mean or 0.0, tolerance.map_mean))
    return [f"{name} at most {most:g}" for name, value, most in limits if not value <= most]
