"""Metrics of a set of scores: the numbers of the paper's tables.

Pure NumPy functions. Everywhere: a label is 1 for fake and 0 for real, a score is a fake
probability or anything that grows with it, and a clip or video is called fake when its score is at
or above the threshold. The numbers that compare the two classes need both of them; one class alone
is a ValueError with the counts.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

COMPARING = (
    "auc",
    "f1",
    "precision",
    "recall",
    "eer",
    "average_precision",
    "tpr_at_1pct_fpr",
    "tpr_at_0.1pct_fpr",
)
"""The numbers of `report` that one class alone leaves undefined."""
VIDEO_SCORES = ("mean", "median", "topk")


class Confusion(NamedTuple):
    """Counts at one threshold; "positive" is fake."""

    true_fake: int
    false_fake: int
    true_real: int
    false_real: int


class Roc(NamedTuple):
    """One point per distinct score, from "nothing is fake" (0, 0) to "everything is" (1, 1)."""

    false_positive_rate: Floats
    true_positive_rate: Floats


class Videos(NamedTuple):
    """One entry per video, in the order in which the videos first appear."""

    keys: list[Hashable]
    labels: Ints
    scores: Floats


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


def wilson(hits: float, count: int) -> Interval:
    """Wilson's 95 % interval of a share.

    Args:
        hits: How many of `count`; a half is possible where ties count so.
        count: At least 1.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference", 1927.
    """
    z = 1.959964
    share, spread = hits / count, z**2 / count
    middle = (share + spread / 2) / (1 + spread)
    reach = math.sqrt(share * (1 - share) * spread + spread**2 / 4) / (1 + spread)
    return Interval(max(0.0, middle - reach), min(1.0, middle + reach))


def checked(labels: ArrayLike, scores: ArrayLike) -> tuple[Ints, Floats]:
    """Return both as vectors of one length, labels 0 or 1, scores finite.

    Raises:
        ValueError: They are not, or there are none.
    """
    y, s = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if y.ndim != 1 or s.ndim != 1 or len(y) != len(s):
        raise ValueError(
            f"labels and scores must be vectors of one length, got shapes {y.shape}, {s.shape}"
        )
    if len(y) == 0:
        raise ValueError("metrics need at least one score, got 0 fake and 0 real")
    if not np.isin(y, (0, 1)).all():
        raise ValueError(f"labels must be 0 (real) or 1 (fake), got {sorted(set(y.tolist()))[:5]}")
    if not np.isfinite(s).all():
        raise ValueError(f"scores must be finite, {(~np.isfinite(s)).sum()} of {len(s)} are not")
    return y.astype(np.int64), s


def two_classes(labels: ArrayLike, scores: ArrayLike) -> tuple[Ints, Floats]:
    """Checked vectors that hold both classes."""
    y, s = checked(labels, scores)
    fake = int(y.sum())
    if fake in (0, len(y)):
        raise ValueError(
            f"this metric needs both classes, got {fake} fake and {len(y) - fake} real; "
            "add the missing class or report accuracy alone"
        )
    return y, s


def confusion(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> Confusion:
    """Count right and wrong verdicts of either kind; one class alone is allowed."""
    y, s = checked(labels, scores)
    called_fake, fake = s >= threshold, y == 1
    return Confusion(
        true_fake=int((called_fake & fake).sum()),
        false_fake=int((called_fake & ~fake).sum()),
        true_real=int((~called_fake & ~fake).sum()),
        false_real=int((~called_fake & fake).sum()),
    )


def accuracy(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> float:
    """Share of right verdicts, in [0, 1]; one class alone is allowed."""
    table = confusion(labels, scores, threshold)
    return (table.true_fake + table.true_real) / sum(table)


def precision(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> float:
    """Share of fakes among what is called fake, in [0, 1]; 0 where nothing is called fake."""
    table = confusion(*two_classes(labels, scores), threshold)
    called_fake = table.true_fake + table.false_fake
    return table.true_fake / called_fake if called_fake else 0.0


def recall(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> float:
    """Share of the fakes that are called fake, in [0, 1]."""
    table = confusion(*two_classes(labels, scores), threshold)
    return table.true_fake / (table.true_fake + table.false_real)


def f1(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> float:
    """Harmonic mean of precision and recall of the class fake, in [0, 1]."""
    table = confusion(*two_classes(labels, scores), threshold)
    return 2 * table.true_fake / (2 * table.true_fake + table.false_fake + table.false_real)


def roc(labels: ArrayLike, scores: ArrayLike) -> Roc:
    """The ROC curve: rates at every distinct score taken as the threshold, highest score first."""
    fakes, reals = _called_fake(*two_classes(labels, scores))
    return Roc(np.append(0.0, reals / reals[-1]), np.append(0.0, fakes / fakes[-1]))


def _called_fake(y: Ints, s: Floats) -> tuple[Floats, Floats]:
    """How many fakes and how many reals score at or above each distinct score, highest first."""
    order = np.argsort(-s, kind="stable")
    last_of_tie = np.append(np.diff(s[order]) != 0, True)
    fakes = np.cumsum(y[order])[last_of_tie].astype(np.float64)
    reals = np.cumsum(1 - y[order])[last_of_tie].astype(np.float64)
    return fakes, reals


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a fake outscores a real, a tie counting half."""
    y, s = two_classes(labels, scores)
    _, tie, ties = np.unique(s, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[tie]  # mean rank within a tie, from 1
    fake = int(y.sum())
    wins = float(rank[y == 1].sum()) - fake * (fake + 1) / 2
    return wins / (fake * (len(y) - fake))


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Precision averaged over the gains in recall, without interpolation, in [0, 1]."""
    fakes, reals = _called_fake(*two_classes(labels, scores))
    gain = np.diff(fakes, prepend=0.0) / fakes[-1]
    return float((gain * fakes / (fakes + reals)).sum())


def eer(labels: ArrayLike, scores: ArrayLike) -> float:
    """Equal error rate: where the ROC curve (straight lines) has as many misses as false alarms."""
    fpr, tpr = roc(labels, scores)
    surplus = fpr + tpr - 1  # false alarms minus misses: grows from -1 to 1 along the curve
    after = int(np.argmax(surplus >= 0))
    before = after - 1
    part = -surplus[before] / (surplus[after] - surplus[before])
    return float(fpr[before] + part * (fpr[after] - fpr[before]))


def tpr_at_fpr(labels: ArrayLike, scores: ArrayLike, fpr: float) -> float:
    """Share of fakes found when a share `fpr` of the reals raises a false alarm.

    Read from the ROC curve with straight lines between its points (linear interpolation), and from
    the top of a vertical step. With fewer than 1/fpr reals the answer lies left of the first false
    alarm: it is an interpolation, not a measurement.

    Raises:
        ValueError: `fpr` outside [0, 1], or one class alone.
    """
    if not 0 <= fpr <= 1:
        raise ValueError(f"fpr must lie in [0, 1], got {fpr}")
    xs, ys = roc(labels, scores)
    left = int(np.searchsorted(xs, fpr, side="right")) - 1
    if xs[left] == fpr:
        return float(ys[left])
    part = (fpr - xs[left]) / (xs[left + 1] - xs[left])
    return float(ys[left] + part * (ys[left + 1] - ys[left]))


def video_scores(
    keys: Iterable[Hashable], labels: ArrayLike, scores: ArrayLike, how: str = "mean", topk: int = 3
) -> Videos:
    """One score per video from the scores of its clips, which may come in any order.

    Args:
        keys: One per clip; equal keys are one video. A file's stem is not enough: FaceForensics++
            has the same stem under every method. Use (dataset, method, compression, video id).
        labels, scores: One per clip; labels are equal within a video.
        how: "mean" of the clips (the paper's), "median", or "topk": mean of the `topk` highest, for
            videos of which only a part is fake.
        topk: How many clips "topk" averages; a shorter video averages all it has.

    Raises:
        ValueError: a key with two labels, an unhashable key, an unknown `how`.
    """
    if how not in VIDEO_SCORES:
        raise ValueError(f"how must be one of {', '.join(VIDEO_SCORES)}, got {how!r}")
    if topk < 1:
        raise ValueError(f"topk must be at least 1, got {topk}")
    y, s = checked(labels, scores)
    clips = clips_of_videos(list(keys), y)
    video_labels = [y[rows[0]] for rows in clips.values()]
    reduced = [_reduced(s[rows], how, topk) for rows in clips.values()]
    return Videos(list(clips), np.array(video_labels), np.array(reduced))


def _reduced(scores: Floats, how: str, topk: int) -> float:
    """One number from the scores of one video's clips; it does not grow with their number."""
    if how == "median":
        return float(np.median(scores))
    return float(np.mean(np.sort(scores)[-topk:] if how == "topk" else scores))


def clips_of_videos(keys: list[Hashable], y: Ints) -> dict[Hashable, list[int]]:
    """Row numbers of each video, each video having one label."""
    if len(keys) != len(y):
        raise ValueError(f"one key per score is needed, got {len(keys)} keys and {len(y)} scores")
    clips: dict[Hashable, list[int]] = {}
    for row, key in enumerate(keys):
        try:
            clips.setdefault(key, []).append(row)
        except TypeError as error:
            raise ValueError(f"a key must be hashable, such as a tuple, got {key!r}") from error
    for key, rows in clips.items():
        if len(set(y[rows].tolist())) > 1:
            raise ValueError(
                f"video {key!r} has clips labelled real and clips labelled fake: two videos share "
                "one key; make keys of (dataset, method, compression, video id)"
            )
    return clips


def known_numbers(
    labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5
) -> dict[str, float | None]:
    """Return what `report` does; of one class alone, None for what only two classes define.

    Accuracy is defined there, and with fakes alone recall, which is then the same.
    """
    y, s = checked(labels, scores)
    fake = int(y.sum())
    if 0 < fake < len(y):
        return {**report(y, s, threshold)}
    right = accuracy(y, s, threshold)
    return {
        **dict.fromkeys(COMPARING),
        "accuracy": right,
        "recall": right if fake else None,
        "threshold": float(threshold),
        "real": len(y) - fake,
        "fake": fake,
    }


def report(labels: ArrayLike, scores: ArrayLike, threshold: float = 0.5) -> dict[str, float]:
    """Every number of the tables for one set of scores, ready for JSON.

    Returns:
        accuracy, auc, f1, precision, recall, eer, average_precision, tpr_at_1pct_fpr and
        tpr_at_0.1pct_fpr in [0, 1], the threshold, and the counts `real` and `fake`.
    """
    y, s = two_classes(labels, scores)
    return {
        "accuracy": accuracy(y, s, threshold),
        "auc": auc(y, s),
        "f1": f1(y, s, threshold),
        "precision": precision(y, s, threshold),
        "recall": recall(y, s, threshold),
        "eer": eer(y, s),
        "average_precision": average_precision(y, s),
        "tpr_at_1pct_fpr": tpr_at_fpr(y, s, 0.01),
        "tpr_at_0.1pct_fpr": tpr_at_fpr(y, s, 0.001),
        "threshold": float(threshold),
        "real": int((y == 0).sum()),
        "fake": int(y.sum()),
    }
