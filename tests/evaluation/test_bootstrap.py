"""Intervals of every number at once, against a slow bootstrap and what statistics says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from keras_ddl.edge import metrics
from keras_ddl.evaluation.bootstrap import NUMBERS, report_intervals

THRESHOLD = 0.45
SLOW = {
    "accuracy": partial(metrics.accuracy, threshold=THRESHOLD),
    "auc": metrics.auc,
    "f1": partial(metrics.f1, threshold=THRESHOLD),
    "precision": partial(metrics.precision, threshold=THRESHOLD),
    "recall": partial(metrics.recall, threshold=THRESHOLD),
    "eer": metrics.eer,
    "average_precision": metrics.average_precision,
    "tpr_at_1pct_fpr": partial(metrics.tpr_at_fpr, fpr=0.01),
    "tpr_at_0.1pct_fpr": partial(metrics.tpr_at_fpr, fpr=0.001),
}


def table(kind: str, count: int = 60) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Labels, scores and video numbers of clips: videos of one to four clips, both classes."""
    rng = np.random.default_rng(len(kind))
    video = np.repeat(np.arange(count), rng.integers(1, 5, count))
    labels = (np.arange(count) % 3 > 0).astype(int)[video]
    scores = np.clip(rng.normal(0.4 + 0.15 * labels, 0.2), 0, 1)
    if kind == "tied":
        scores = np.round(scores, 1)
    if kind == "perfect":
        scores = 0.25 + 0.5 * labels
    if kind == "constant":
        scores[:] = 0.5
    if kind == "inverted":
        scores = 0.75 - 0.5 * labels
    if kind == "nothing is fake":
        scores *= 0.1
    shuffled = rng.permutation(len(video))
    return labels[shuffled], scores[shuffled], video[shuffled].tolist()


def slow_interval(
    metric: Callable[..., float], labels: np.ndarray, scores: np.ndarray, keys: list[int]
) -> tuple[float, float]:
    """Forty times: draw videos within each class, put their clips together, compute the metric."""
    videos = {key: np.flatnonzero(np.array(keys) == key) for key in dict.fromkeys(keys)}
    rows = list(videos.values())
    classes = [[n for n, clips in enumerate(rows) if labels[clips[0]] == c] for c in (0, 1)]
    rng = np.random.default_rng(3)
    values = []
    for _ in range(40):
        drawn = [n for some in classes if some for n in rng.choice(some, size=len(some))]
        clips = np.concatenate([rows[number] for number in drawn])
        values.append(metric(labels[clips], scores[clips]))
    low, high = np.quantile(values, [0.025, 0.975])
    return low, high


KINDS = ["spread", "tied", "perfect", "constant", "inverted", "nothing is fake"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_video", [True, False])
def test_every_interval_is_the_slow_one(kind: str, by_video: bool) -> None:
    labels, scores, video = table(kind)
    keys = video if by_video else None
    fast = report_intervals(labels, scores, keys, threshold=THRESHOLD, resamples=40, seed=3)
    assert tuple(fast) == NUMBERS == tuple(SLOW)
    for name, metric in SLOW.items():
        slow = slow_interval(metric, labels, scores, keys or list(range(len(labels))))
        assert fast[name] == pytest.approx(slow, abs=1e-9), name


def test_the_numbers_are_those_of_the_report() -> None:
    labels, scores, _ = table("spread")
    numbers = metrics.report(labels, scores)
    assert set(NUMBERS) == set(numbers) - {"threshold", "real", "fake"}


@pytest.mark.parametrize("threshold", [THRESHOLD, 2.0])  # at the latter nothing is called fake
def test_one_class_has_the_intervals_of_what_it_defines(threshold: float) -> None:
    labels, scores, video = table("spread")
    for label, names in ((0, ("accuracy",)), (1, ("accuracy", "recall"))):
        mine = labels == label
        keys = [key for key, inside in zip(video, mine, strict=True) if inside]
        fast = report_intervals(
            labels[mine], scores[mine], keys, threshold=threshold, resamples=40, seed=3
        )
        assert tuple(fast) == names
        accuracy = partial(metrics.accuracy, threshold=threshold)
        slow = slow_interval(accuracy, labels[mine], scores[mine], keys)
        assert all(fast[name] == pytest.approx(slow, abs=1e-9) for name in names)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, video = table("spread")
    whole = report_intervals(labels, scores, video, resamples=50)
    monkeypatch.setattr("keras_ddl.evaluation.bootstrap._BLOCK", 3 * len(labels))
    assert report_intervals(labels, scores, video, resamples=50) == whole


def test_an_interval_repeats_with_its_seed_and_holds_the_estimate() -> None:
    labels, scores, _ = table("spread")
    first, same, other = (
        report_intervals(labels, scores, resamples=200, seed=seed)["auc"] for seed in (1, 1, 2)
    )
    assert first == same != other
    assert 0 <= first.low < metrics.auc(labels, scores) < first.high <= 1


def test_the_width_is_the_binomial_one() -> None:
    labels = np.repeat([0, 1], 200)
    scores = np.tile(np.repeat([0.9, 0.1], 100), 2)  # half of each class is called fake
    low, high = report_intervals(labels, scores, resamples=2000)["accuracy"]
    half_width = 1.96 * np.sqrt(0.25 / 400)
    assert (low, high) == pytest.approx((0.5 - half_width, 0.5 + half_width), abs=0.006)


def test_videos_are_drawn_not_clips() -> None:
    labels, scores, _ = table("spread", 100)
    per_video = report_intervals(labels, scores, resamples=300)["auc"]
    keys, labels, scores = (np.repeat(x, 16) for x in (np.arange(len(labels)), labels, scores))
    as_clips = report_intervals(labels, scores, resamples=300)["auc"]
    as_videos = report_intervals(labels, scores, keys.tolist(), resamples=300)["auc"]
    assert as_videos == pytest.approx(per_video)
    # Sixteen copies of a clip say nothing new, yet drawn one by one they shrink it by four.
    shrunk = (as_clips.high - as_clips.low) / (per_video.high - per_video.low)
    assert shrunk == pytest.approx(1 / 4, rel=0.25)


def test_both_classes_stay_when_one_is_rare() -> None:
    labels, scores = [1] + [0] * 60, [0.95] + [0.01 * i for i in range(60)]
    assert report_intervals(labels, scores, resamples=200)["auc"] == (1.0, 1.0)


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        ([0, 1], {"level": 1.0}, "level must lie"),
        ([0, 1], {"level": 0}, "level must lie"),
        ([0, 1], {"resamples": 0}, "resamples be positive"),
        ([0, 1], {"keys": ["a", "a"]}, "two videos share one key"),
    ],
)
def test_what_has_no_interval(labels: list[int], arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report_intervals(labels, [0.2, 0.8], **arguments)
