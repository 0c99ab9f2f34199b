"""Threshold and temperature onto a spec: from validation, in that order, as often as one likes."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.metrics import confusion
from keras_ddl.evaluation.operating_point import (
    EDGE,
    RECORD,
    OperatingPoint,
    _student_quantile,
    choose_threshold,
    real_bound,
    threshold_by_reals,
)

KEYS = tuple(("d", "m", "", name) for name in "aabbccdd")
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32)
MARGINS = np.array([-9.0, -7.0, -1.0, 6.0, 8.0, -2.0, 9.0, 7.0])


def test_a_share_of_false_alarms_is_what_new_reals_then_have() -> None:
    """Drawn from the very normal that is assumed: over many draws of 12 reals, 5 % of new ones."""
    random = np.random.default_rng(0)
    exceeded = []
    for _ in range(400):
        odds = random.normal(-1.0, 1.5, 13)
        scores = 1 / (1 + np.exp(-odds))
        labels = np.array([0] * 12 + [1])
        value = threshold_by_reals(labels, scores, 0.05).value
        new = 1 / (1 + np.exp(-random.normal(-1.0, 1.5, 200)))
        exceeded.append((new >= value).mean())
    assert 0.043 < np.mean(exceeded) < 0.057


def test_the_bound_is_that_of_a_prediction_not_of_a_mean() -> None:
    """By hand: mean 0, s 1.5811, t(.95; 4) 2.1318, √(1 + 1/5): log-odds 3.6924, so 0.9757."""
    odds = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    scores = np.append(1 / (1 + np.exp(-odds)), 0.5)
    found = threshold_by_reals([0, 0, 0, 0, 0, 1], scores, 0.05)
    assert found.value == pytest.approx(0.9757, abs=2e-4)


def test_real_ends_where_a_forgery_would_seldom_lie() -> None:
    """The mirror of the threshold: the same fakes as reals, turned round at one half."""
    odds = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    scores = np.append(1 / (1 + np.exp(-odds)), 0.5)
    found = real_bound([1, 1, 1, 1, 1, 0], scores, 0.05)
    assert found == pytest.approx(1 - 0.9757, abs=2e-4)


def test_the_bound_of_real_needs_forgeries_and_never_passes_the_threshold() -> None:
    random = np.random.default_rng(1)
    labels = np.repeat([0, 1], 8)
    keys = tuple((*KEYS[0][:-1], str(number)) for number in range(16))

    def fitted(apart: float, **options: bool) -> OperatingPoint:
        margins = random.normal(0.0, 0.3, 16) + apart * (2 * labels - 1)
        return OperatingPoint.fit(keys, labels, margins, "f" * 64, 0.05, **options)

    told = fitted(0.05)
    assert 0 < told.real_to < told.threshold  # much is uncertain where classes overlap
    assert told.onto(ClipSpec()).real_to == told.real_to
    assert fitted(0.05, true_fakes=False).real_to == 0
    apart = fitted(4.0)
    assert apart.real_to == apart.threshold
    assert OperatingPoint.fit(keys, labels, 1.0 * labels, "f" * 64).real_to == 0


def test_students_quantile() -> None:
    """Tables: t(.95; 4) = 2.132, t(.95; 11) = 1.796, t(.99; 30) = 2.457."""
    for share, freedom, known in ((0.95, 4, 2.132), (0.95, 11, 1.796), (0.99, 30, 2.457)):
        assert _student_quantile(share, freedom) == pytest.approx(known, rel=2e-3)


def test_too_few_reals_say_nothing_about_false_alarms() -> None:
    with pytest.raises(ValueError, match="at least 3 real videos"):
        threshold_by_reals([0, 0, 1], [0.1, 0.2, 0.9], 0.05)


def test_the_threshold_is_chosen_on_calibrated_video_scores() -> None:
    point = OperatingPoint.fit(KEYS, LABELS, MARGINS, "f" * 64)
    temperature = point.temperature
    assert temperature > 1.5  # two of eight clips are on the wrong side, and sure of it
    clips = 1 / (1 + np.exp(-MARGINS / temperature))
    videos = clips.reshape(4, 2).mean(axis=1)
    assert videos[:2].max() < videos[2:].min()
    expected = (videos[:2].max() + videos[2:].min()) / 2
    assert point.threshold == pytest.approx(expected, abs=5e-5)
    assert (point.clips, point.videos) == (8, 4)


def test_fitting_twice_changes_nothing() -> None:
    spec = ClipSpec(metrics={"validation_video_auc": 1.0}, weights_sha256="a" * 64)
    once = OperatingPoint.fit(KEYS, LABELS, MARGINS, "f" * 64).onto(spec)
    twice = OperatingPoint.fit(KEYS, LABELS, MARGINS, "f" * 64).onto(once)
    assert twice.to_json() == once.to_json() != spec.to_json()
    assert once.metrics["validation_video_auc"] == 1.0
    record = once.metrics[RECORD]
    assert (record["threshold"], record["temperature"]) == (once.threshold, once.temperature)
    assert record["split"] == "val" and record["fingerprint"] == "f" * 64
    assert json.loads(json.dumps(record)) == record
    assert ClipSpec.from_json(once.to_json()) == once


def test_one_class_is_an_error() -> None:
    with pytest.raises(ValueError, match="got 4 fake and 0 real"):
        OperatingPoint.fit(KEYS[4:], LABELS[4:], MARGINS[4:], "")


def test_what_a_spec_carries_is_read_back_and_kept() -> None:
    spec = OperatingPoint.fit(KEYS, LABELS, MARGINS, "f" * 64).onto(ClipSpec())
    point = OperatingPoint.of(spec)
    assert point is not None and asdict(point) == spec.metrics[RECORD]
    assert OperatingPoint.of(ClipSpec()) is None


@pytest.mark.parametrize(
    ("labels", "scores", "value", "interval", "reached"),
    [
        # told apart: the middle of the gap
        ([0, 0, 1, 1], [0.1, 0.3, 0.7, 0.9], 0.5, (0.3, 0.7), 1.0),
        # the real is worth as much as nine fakes: accuracy alone would call everything fake
        ([0, *[1] * 9], [0.6, 0.5, 0.55, *[0.9] * 7], 0.75, (0.6, 0.9), (1 + 7 / 9) / 2),
        # two intervals are as good: the wider one
        ([0, 0, 1, 1], [0.1, 0.5, 0.3, 0.9], 0.7, (0.5, 0.9), 0.75),
        # and as wide: the one nearer to 0.5
        ([0, 0, 1, 1], [0.125, 0.5, 0.25, 0.625], 0.5625, (0.5, 0.625), 0.75),
        # a real and a fake tied at 0.5 change nothing: one interval around them
        ([0, 0, 1, 1], [0.25, 0.5, 0.5, 0.75], 0.5, (0.25, 0.75), 0.75),
        # sure of everything
        ([0, 1], [0.0, 1.0], 0.5, (EDGE, 1 - EDGE), 1.0),
        # knows nothing
        ([0, 1], [0.5, 0.5], 0.5, (EDGE, 1 - EDGE), 0.5),
        # everything sounds fake
        ([0, 1], [0.98, 1.0], 0.99, (0.98, 1 - EDGE), 1.0),
    ],
)
def test_tables(
    labels: list, scores: list, value: float, interval: tuple[float, float], reached: float
) -> None:
    found = choose_threshold(labels, scores)
    assert found.value == pytest.approx(value, abs=1e-6)
    assert (found.low, found.high) == pytest.approx(interval)
    assert found.balanced_accuracy == pytest.approx(reached)


def balanced(labels: np.ndarray, scores: np.ndarray, threshold: float) -> float:
    table = confusion(labels, scores, threshold)
    fakes, reals = table.true_fake + table.false_real, table.true_real + table.false_fake
    return (table.true_fake / fakes + table.true_real / reals) / 2


@pytest.mark.parametrize("seed", range(20))
def test_no_threshold_does_better(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.append([0, 1], rng.random(30) < 0.3).astype(int)
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.25), 0, 1).round(int(rng.integers(1, 4)))
    found = choose_threshold(labels, scores)
    tried = [balanced(labels, scores, threshold) for threshold in np.linspace(0.0005, 0.9995, 1000)]
    assert found.balanced_accuracy == pytest.approx(max(tried))
    assert balanced(labels, scores, found.value) == pytest.approx(found.balanced_accuracy)
    inside = np.linspace(found.low, found.high, 50)[1:]
    reached = [balanced(labels, scores, threshold) for threshold in inside]
    assert reached == pytest.approx([found.balanced_accuracy] * 49)


def test_four_digits_unless_the_interval_is_narrower() -> None:
    assert choose_threshold([0, 1], [0.1, 0.23456]).value == 0.1673
    assert 0.500001 < choose_threshold([0, 1], [0.500001, 0.500002]).value <= 0.500002


def test_scores_that_are_no_probabilities_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\], got 0.5 to 1.5"):
        choose_threshold([0, 1], [0.5, 1.5])
    with pytest.raises(ValueError, match="got 2 fake and 0 real"):
        choose_threshold([1, 1], [0.5, 0.6])
