"""Intervals of every number at once, against the slow bootstrap that takes any metric."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest

from keras_ddl import metrics
from keras_ddl.bootstrap import NUMBERS, report_intervals

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


KINDS = ["spread", "tied", "perfect", "constant", "inverted", "nothing is fake"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_video", [True, False])
def test_every_interval_is_the_slow_one(kind: str, by_video: bool) -> None:
    labels, scores, video = table(kind)
    keys = video if by_video else None
    fast = report_intervals(labels, scores, keys, threshold=THRESHOLD, resamples=40, seed=3)
    assert tuple(fast) == NUMBERS == tuple(SLOW)
    for name, metric in SLOW.items():
        slow = metrics.bootstrap_ci(metric, labels, scores, keys, resamples=40, seed=3)
        assert fast[name] == pytest.approx(slow, abs=1e-9), name


def test_the_numbers_are_those_of_the_report() -> None:
    labels, scores, _ = table("spread")
    numbers = metrics.report(labels, scores)
    assert set(NUMBERS) == set(numbers) - {"threshold", "real", "fake"}


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, scores, video = table("spread")
    whole = report_intervals(labels, scores, video, resamples=50)
    monkeypatch.setattr("keras_ddl.bootstrap._BLOCK", 3 * len(labels))
    assert report_intervals(labels, scores, video, resamples=50) == whole


def test_a_thousand_resamples_of_a_thousand_videos_take_seconds() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000) % 2, 8)
    scores = rng.normal(labels, 1.0)
    started = time.monotonic()
    report_intervals(labels, scores, np.repeat(np.arange(1000), 8).tolist())
    assert time.monotonic() - started < 20  # 0.3 s on an idle core


@pytest.mark.parametrize(
    ("labels", "arguments", "message"),
    [
        ([1, 1], {}, "2 fake and 0 real"),
        ([0, 0], {}, "0 fake and 2 real"),
        ([0, 1], {"level": 1.0}, "level must lie"),
        ([0, 1], {"resamples": 0}, "resamples be positive"),
        ([0, 1], {"keys": ["a", "a"]}, "two videos share one key"),
    ],
)
def test_what_has_no_interval(labels: list[int], arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        report_intervals(labels, [0.2, 0.8], **arguments)
