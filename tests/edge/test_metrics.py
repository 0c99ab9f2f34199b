"""Metrics against tables worked by hand, against scikit-learn, and against a bug of this field."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from keras_ddl.edge import metrics

# Four reals and four fakes; at 0.5 one real is called fake and two fakes are missed.
LABELS = [0, 0, 0, 0, 1, 1, 1, 1]
SCORES = [0.1, 0.2, 0.3, 0.7, 0.2, 0.4, 0.8, 0.9]

TWO_CLASS_METRICS = [
    metrics.precision,
    metrics.recall,
    metrics.f1,
    metrics.auc,
    metrics.average_precision,
    metrics.eer,
    metrics.roc,
    metrics.report,
    partial(metrics.tpr_at_fpr, fpr=0.1),
]


def table(kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random labels and scores of one kind, both classes present."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(5, 400))
    labels = (rng.random(count) < rng.uniform(0.05, 0.95)).astype(int)
    labels[:2] = 0, 1
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    if kind == "tied":
        scores = np.round(scores, 1)
    if kind == "constant":
        scores[:] = 0.5
    if kind == "perfect":
        scores = labels * 0.5 + 0.25
    if kind == "inverted":
        scores = 1 - labels * 0.5
    return labels, scores


def test_confusion_counted_by_hand():
    assert metrics.confusion(LABELS, SCORES) == (2, 1, 3, 2)
    assert metrics.accuracy(LABELS, SCORES) == 5 / 8
    assert metrics.precision(LABELS, SCORES) == 2 / 3
    assert metrics.recall(LABELS, SCORES) == 2 / 4
    assert metrics.f1(LABELS, SCORES) == pytest.approx(4 / 7)


def test_ranking_metrics_counted_by_hand():
    # Of 16 pairs the fakes win 1½ + 3 + 4 + 4: 0.2 ties with a real.
    assert metrics.auc(LABELS, SCORES) == 12.5 / 16
    # Fakes come 1st, 2nd, 4th and, tied with a real at the threshold 0.2, within the first 7.
    assert metrics.average_precision(LABELS, SCORES) == pytest.approx((1 + 1 + 3 / 4 + 4 / 7) / 4)
    # At 0.4: one false alarm of four, one miss of four.
    assert metrics.eer(LABELS, SCORES) == pytest.approx(0.25)
    # Two fakes before any false alarm; a third together with none more than ¼ false alarms.
    assert metrics.tpr_at_fpr(LABELS, SCORES, 0.0) == 0.5
    assert metrics.tpr_at_fpr(LABELS, SCORES, 0.125) == 0.5
    assert metrics.tpr_at_fpr(LABELS, SCORES, 0.25) == 0.75
    # From (½, ¾) the tie leads to (¾, 1) in one straight line.
    assert metrics.tpr_at_fpr(LABELS, SCORES, 0.625) == pytest.approx(0.875)
    assert metrics.tpr_at_fpr(LABELS, SCORES, 1.0) == 1.0


def test_equal_error_between_two_points_of_the_curve():
    # All tied: one straight line from (0, 0) to (1, 1).
    assert metrics.eer([0, 1, 1], [0.5, 0.5, 0.5]) == pytest.approx(0.5)
    # (0, 0) → (0, ½) → (1, 1): misses and false alarms meet on the second line, at ⅓.
    assert metrics.eer([1, 1, 0], [0.9, 0.1, 0.1]) == pytest.approx(1 / 3)


def test_a_score_at_the_threshold_is_called_fake():
    assert metrics.confusion([0, 1], [0.5, 0.5], threshold=0.5) == (1, 1, 0, 0)


def test_nothing_called_fake_has_precision_zero():
    assert metrics.precision([0, 1], [0.1, 0.2]) == 0.0
    assert metrics.f1([0, 1], [0.1, 0.2]) == 0.0


@pytest.mark.parametrize("kind", ["random", "tied", "constant", "perfect", "inverted"])
@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_scikit_learn(kind: str, seed: int):
    sk = pytest.importorskip("sklearn.metrics")
    labels, scores = table(kind, seed)
    called = scores >= 0.5
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "auc": sk.roc_auc_score(labels, scores),
        "f1": sk.f1_score(labels, called, zero_division=0),
        "precision": sk.precision_score(labels, called, zero_division=0),
        "recall": sk.recall_score(labels, called),
        "average_precision": sk.average_precision_score(labels, scores),
        "eer": equal_error(*sk.roc_curve(labels, scores)[:2]),
    }
    received = metrics.report(labels, scores)
    assert {name: received[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    ((true_real, false_fake), (false_real, true_fake)) = sk.confusion_matrix(labels, called)
    table_of_counts = (true_fake, false_fake, true_real, false_real)
    assert metrics.confusion(labels, scores) == table_of_counts


def equal_error(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """Where the curve crosses fpr = 1 - tpr, by bisection along the curve's length."""
    position = np.arange(len(fpr), dtype=float)
    low, high = 0.0, position[-1]
    for _ in range(80):
        middle = (low + high) / 2
        x, y = np.interp(middle, position, fpr), np.interp(middle, position, tpr)
        low, high = (middle, high) if x < 1 - y else (low, middle)
    return float(np.interp(low, position, fpr))


@pytest.mark.parametrize("kind", ["random", "tied"])
@pytest.mark.parametrize("fpr", [0.0, 0.001, 0.01, 0.1, 0.5, 1.0])
def test_tpr_at_fpr_agrees_with_scikit_learns_curve(kind: str, fpr: float):
    sk = pytest.importorskip("sklearn.metrics")
    for seed in range(8):
        labels, scores = table(kind, seed)
        xs, ys, _ = sk.roc_curve(labels, scores, drop_intermediate=False)
        expected = 1.0
        for x0, y0, x1, y1 in zip(xs, ys, xs[1:], ys[1:], strict=False):
            if x0 <= fpr < x1:
                expected = y0 + (y1 - y0) * (fpr - x0) / (x1 - x0)
        assert metrics.tpr_at_fpr(labels, scores, fpr) == pytest.approx(expected, abs=1e-12)


def test_auc_does_not_change_when_scores_are_stretched():
    labels, scores = table("random", 3)
    assert metrics.auc(labels, np.exp(9 * scores)) == metrics.auc(labels, scores)
    assert metrics.auc(1 - labels, -scores) == pytest.approx(metrics.auc(labels, scores))


@pytest.mark.parametrize("metric", TWO_CLASS_METRICS)
def test_one_class_is_an_error_with_the_counts(metric: Callable):
    with pytest.raises(ValueError, match="got 3 fake and 0 real"):
        metric([1, 1, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="got 0 fake and 2 real"):
        metric([0, 0], [0.1, 0.2])
    with pytest.raises(ValueError, match="got 0 fake and 0 real"):
        metric([], [])


def test_accuracy_is_defined_for_one_class():
    assert metrics.accuracy([1, 1, 1, 1], [0.9, 0.6, 0.5, 0.1]) == 0.75


def test_what_one_class_defines_is_told_and_the_rest_is_none():
    fakes = metrics.known_numbers([1, 1, 1, 1], [0.9, 0.6, 0.5, 0.1])
    reals = metrics.known_numbers([0, 0, 0], [0.9, 0.1, 0.1])
    both = metrics.report([0, 1], [0.1, 0.9])
    assert fakes.keys() == reals.keys() == both.keys()
    assert {name: value for name, value in fakes.items() if value is not None} == {
        "accuracy": 0.75,
        "recall": 0.75,  # of fakes alone the same
        "threshold": 0.5,
        "real": 0,
        "fake": 4,
    }
    assert {name: value for name, value in reals.items() if value is not None} == {
        "accuracy": 2 / 3,
        "threshold": 0.5,
        "real": 3,
        "fake": 0,
    }
    assert metrics.known_numbers([0, 1], [0.1, 0.9]) == both
    with pytest.raises(ValueError, match="at least one score"):
        metrics.known_numbers([], [])


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1, 0.2, 0.3], r"shapes \(2,\), \(3,\)"),
        ([[0, 1]], [[0.1, 0.2]], r"shapes \(1, 2\)"),  # not vectors
        ([0, 2], [0.1, 0.2], r"0 \(real\) or 1 \(fake\), got \[0, 2\]"),
        ([-1, 1], [0.1, 0.2], "labels must be"),  # the ±1 convention
        ([0, 1], [0.1, float("nan")], "1 of 2 are not"),
        ([0, 1], [0.1, float("inf")], "1 of 2 are not"),
    ],
)
def test_malformed_input_is_an_error(labels: list, scores: list, message: str):
    with pytest.raises(ValueError, match=message):
        metrics.accuracy(labels, scores)


def test_fpr_outside_its_range_is_an_error():
    with pytest.raises(ValueError, match=r"\[0, 1\], got 1.5"):
        metrics.tpr_at_fpr(LABELS, SCORES, 1.5)


def test_boolean_labels_count_as_numbers():
    assert metrics.auc(np.array(LABELS, bool), SCORES) == metrics.auc(LABELS, SCORES)


def test_video_scores_group_clips_in_any_order():
    keys = [("c23", "b"), ("c23", "a"), ("c23", "b"), ("c23", "b"), ("c23", "b")]
    labels, scores = [1, 0, 1, 1, 1], [0.9, 0.2, 0.1, 0.5, 0.7]
    for how, expected in {"mean": 0.55, "median": 0.6, "topk": 0.7}.items():
        videos = metrics.video_scores(keys, labels, scores, how=how)
        assert videos.keys == [("c23", "b"), ("c23", "a")]
        assert videos.labels.tolist() == [1, 0]
        assert videos.scores.tolist() == pytest.approx([expected, 0.2])
    top = metrics.video_scores(keys, labels, scores, how="topk", topk=1)
    assert top.scores.tolist() == [0.9, 0.2]


@pytest.mark.parametrize("how", metrics.VIDEO_SCORES)
def test_a_video_score_does_not_grow_with_length(how: str):
    short = metrics.video_scores(["v"] * 3, [1] * 3, [0.4] * 3, how=how)
    long = metrics.video_scores(["v"] * 300, [1] * 300, [0.4] * 300, how=how)
    assert short.scores == pytest.approx([0.4])
    assert long.scores == pytest.approx([0.4])


def test_equal_stems_under_two_methods_stay_two_videos():
    # The same stem lies under both methods, and one of the four fakes is missed: AUC 3/4.
    names = [("youtube", "000"), ("youtube", "003")]
    fakes = ("000_003", "003_000")
    names += [(method, stem) for method in ("Deepfakes", "FaceSwap") for stem in fakes]
    labels, scores = [0, 0, 1, 1, 1, 1], [0.4, 0.4, 0.9, 0.9, 0.3, 0.9]
    videos = metrics.video_scores(names, labels, scores)
    assert len(videos.keys) == 6
    assert metrics.auc(videos.labels, videos.scores) == 0.750
    # The classic bug, keys of stems alone, averages the missed fake away: this table would show it.
    merged = metrics.video_scores([stem for _, stem in names], labels, scores)
    assert metrics.auc(merged.labels, merged.scores) == 1.000


def test_a_key_with_two_labels_is_an_error():
    with pytest.raises(ValueError, match=r"video '000' .* two videos share one key"):
        metrics.video_scores(["000", "001", "000"], [0, 1, 1], [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a"], [0, 1], [0.1, 0.2]), "1 keys and 2 scores"),
        (([["a"], ["b"]], [0, 1], [0.1, 0.2]), "a key must be hashable"),
        ((["a", "b"], [0, 1], [0.1, 0.2], "sum"), "mean, median, topk, got 'sum'"),
        ((["a", "b"], [0, 1], [0.1, 0.2], "topk", 0), "topk must be at least 1"),
        (([], [], []), "got 0 fake and 0 real"),
    ],
)
def test_malformed_video_input_is_an_error(arguments: tuple, message: str):
    with pytest.raises(ValueError, match=message):
        metrics.video_scores(*arguments)


def test_report_holds_every_number_and_is_json():
    received = json.loads(json.dumps(metrics.report(LABELS, SCORES, threshold=0.35)))
    assert received == pytest.approx(
        {
            "accuracy": 6 / 8,
            "auc": 12.5 / 16,
            "f1": 3 / 4,
            "precision": 3 / 4,
            "recall": 3 / 4,
            "eer": 1 / 4,
            "average_precision": (1 + 1 + 3 / 4 + 4 / 7) / 4,
            "tpr_at_1pct_fpr": 1 / 2,
            "tpr_at_0.1pct_fpr": 1 / 2,
            "threshold": 0.35,
            "real": 4,
            "fake": 4,
        }
    )
