"""Bootstrap intervals of every number of `metrics.report`, from resampled videos.

One pass gives all of them. A resample is a count per video; running sums of these counts, over the
scores in falling order, are the ROC curve of the resample, and every number is read from it. A
thousand resamples of a thousand videos take about half a second.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keras_ddl.edge.metrics import COMPARING, Floats, Interval, Ints, checked, clips_of_videos

LEVEL = 0.95
RESAMPLES = 1000
NUMBERS = ("accuracy", *COMPARING)
_BLOCK = 1 << 21  # entries of a running sum held at once: 16 MiB


def report_intervals(
    labels: ArrayLike,
    scores: ArrayLike,
    keys: Iterable[Hashable] | None = None,
    *,
    threshold: float = 0.5,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile bootstrap intervals of the numbers of `metrics.report`.

    Whole videos are drawn, within each class, and the threshold stays as it is. Clips of one video
    are alike, so that clips drawn one by one would give intervals far too narrow; drawing within
    each class keeps both present. A class of one video does not vary at all: read nothing into an
    interval over a handful of videos.

    Args:
        labels, scores: One per clip or video.
        keys: Which video each row belongs to; None where every row is a video.
        threshold: Score at and above which a row is called fake.
        level: Share of resamples inside the interval.
        resamples, seed: How many times to draw; the same seed gives the same intervals.

    Returns:
        An interval per name in `NUMBERS`; with one class alone per name that is defined there, see
        `metrics.known_numbers`.

    Raises:
        ValueError: a video with two labels, `level` outside (0, 1), no resamples.
    """
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(
            f"level must lie in (0, 1) and resamples be positive, got {level}, {resamples}"
        )
    y, s = checked(labels, scores)
    clips = clips_of_videos(list(range(len(y)) if keys is None else keys), y)
    video = np.empty(len(y), np.int64)
    for number, rows in enumerate(clips.values()):
        video[rows] = number
    video_labels = np.array([y[rows[0]] for rows in clips.values()])
    order = np.argsort(-s, kind="stable")
    last_of_tie = np.flatnonzero(np.append(np.diff(s[order]) != 0, True))
    called = int(np.searchsorted(-s[order][last_of_tie], -threshold, side="right"))
    parts = []
    for counts in _draws(video_labels, resamples, seed, max(1, _BLOCK // len(y))):
        weights = counts[:, video[order]]  # (resamples, rows in falling order)
        fakes = np.cumsum(weights * y[order], axis=1)[:, last_of_tie]
        reals = np.cumsum(weights * (1 - y[order]), axis=1)[:, last_of_tie]
        parts.append(_numbers(fakes.astype(np.float64), reals.astype(np.float64), called))
    ends = [(1 - level) / 2, (1 + level) / 2]
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {
        name: Interval(*(float(end) for end in np.quantile(values, ends)))
        for name, values in found.items()
    }


def _draws(labels: Ints, resamples: int, seed: int, block: int) -> Iterator[NDArray[np.int64]]:
    """How often each video is drawn, (up to `block`, videos) at a time."""
    rng = np.random.default_rng(seed)
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    for start in range(0, resamples, block):
        counts = np.zeros((min(block, resamples - start), len(labels)), np.int64)
        for row in counts:
            drawn = [rng.choice(videos, size=len(videos)) for videos in classes]
            row += np.bincount(np.concatenate(drawn), minlength=len(labels))
        yield counts


def _numbers(fakes: Floats, reals: Floats, called: int) -> dict[str, Floats]:
    """Every number of each resample, or those that one class alone defines.

    Args:
        fakes, reals: (resamples, distinct scores): how many score at or above each, highest first.
        called: How many of the distinct scores are called fake.
    """
    start = np.zeros((len(fakes), 1))
    all_fakes, all_reals = fakes[:, -1], reals[:, -1]
    if not (all_fakes.all() and all_reals.all()):  # one class: drawn within classes, so always
        hits = fakes[:, called - 1] if called else start[:, 0]
        alarms = reals[:, called - 1] if called else start[:, 0]
        right = (hits + all_reals - alarms) / (all_fakes + all_reals)
        return {"accuracy": right, "recall": right} if all_fakes.any() else {"accuracy": right}
    tpr = np.hstack([start, fakes / all_fakes[:, None]])
    fpr = np.hstack([start, reals / all_reals[:, None]])
    true_fake = fakes[:, called - 1] if called else start[:, 0]
    false_fake = reals[:, called - 1] if called else start[:, 0]
    chosen = true_fake + false_fake
    precision = np.divide(true_fake, chosen, out=np.zeros_like(chosen), where=chosen > 0)
    above = fakes + reals
    exact = np.divide(fakes, above, out=np.zeros_like(fakes), where=above > 0)
    return {
        "accuracy": (true_fake + all_reals - false_fake) / (all_fakes + all_reals),
        "auc": (np.diff(fpr) * (tpr[:, 1:] + tpr[:, :-1])).sum(axis=1) / 2,
        "f1": 2 * true_fake / (chosen + all_fakes),
        "precision": precision,
        "recall": true_fake / all_fakes,
        "eer": _equal_error(fpr, tpr),
        "average_precision": (np.diff(tpr) * exact).sum(axis=1),
        "tpr_at_1pct_fpr": _tpr_at(fpr, tpr, 0.01),
        "tpr_at_0.1pct_fpr": _tpr_at(fpr, tpr, 0.001),
    }


def _equal_error(fpr: Floats, tpr: Floats) -> Floats:
    """`metrics.eer` of every row."""
    surplus = fpr + tpr - 1
    after = np.argmax(surplus >= 0, axis=1)
    row = np.arange(len(fpr))
    low, high = surplus[row, after - 1], surplus[row, after]
    left, right = fpr[row, after - 1], fpr[row, after]
    return np.asarray(left + -low / (high - low) * (right - left), np.float64)


def _tpr_at(fpr: Floats, tpr: Floats, rate: float) -> Floats:
    """`metrics.tpr_at_fpr` of every row."""
    row = np.arange(len(fpr))
    left = (fpr <= rate).sum(axis=1) - 1
    right = np.minimum(left + 1, fpr.shape[1] - 1)
    gap = fpr[row, right] - fpr[row, left]
    part = np.divide(rate - fpr[row, left], gap, out=np.zeros_like(gap), where=gap > 0)
    return np.asarray(tpr[row, left] + part * (tpr[row, right] - tpr[row, left]), np.float64)
