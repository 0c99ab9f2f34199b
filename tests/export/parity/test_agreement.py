"""Two runtimes' answers, compared by hand; and what a gate lets through."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from export.parity.agreement import (
    EXPORTED,
    HALF_ON_NOISE,
    PREPARED,
    SURE,
    Answers,
    Tolerance,
    agreement,
    broken,
    log_odds,
)


def answers(margins: list[float], known: bool = True, maps: bool = False) -> Answers:
    margin = np.array(margins)
    shown = np.abs(margin)[:, None, None, None] / 10 if maps else None
    return Answers(1 / (1 + np.exp(-margin)), margin if known else None, shown, "some runtime")


LABELS = np.array([0, 0, 1, 1])


def test_every_number_by_hand():
    before, after = [-2.0, 1.0, 0.5, 4.5], [-2.0, 1.0, -0.5, 6.5]
    found = agreement(answers(before, maps=True), answers(after, maps=True), 0.5, LABELS, 0.1)
    assert (found.clips, found.flips, found.changed, found.worst) == (4, 1, 1, 2)
    # Deviations from the mean 1 are −3, 0, −0.5, 3.5: their squares' mean is 21.5 / 4.
    assert found.spread == pytest.approx((21.5 / 4) ** 0.5)
    assert found.logit == pytest.approx(2.0 / found.spread)
    assert found.logit_mean == pytest.approx(0.75 / found.spread)
    # Sorted 0, 0, 1, 2: the 99th percentile lies 0.97 of the way from the third to the last.
    assert found.logit_high == pytest.approx(1.97 / found.spread)
    # σ(0.5) = 0.622459, σ(4.5) = 0.989013, σ(6.5) = 0.998499
    assert found.probability == pytest.approx(2 * 0.622459 - 1, abs=1e-6)
    assert found.mean == pytest.approx((0.244919 + 0.998499 - 0.989013) / 4, abs=1e-6)
    assert found.high == pytest.approx(0.009486 + 0.97 * (0.244919 - 0.009486), abs=1e-5)
    # Of the four pairs (real, fake) 3 are in order before, and after: (-2, -0.5), (-2, 6.5), …
    assert (found.auc, found.pair) == (0, 0.25)
    assert found.inconsistency == pytest.approx(0.2)  # 0.45 and 0.65; 0.5 and 0.5 are as one
    assert found.map_mean == pytest.approx(0.2) and found.worst_map == 3  # of that clip alone
    swapped = agreement(answers(before), answers([-2.0, 1.0, -3.0, 6.5]), 0.5, LABELS)
    assert swapped.auc == pytest.approx(-0.25)  # (-2, -3) is out of order too


def test_a_decision_near_the_threshold_is_a_tie():
    # σ(0.5) is 0.122 from the threshold, and the reference's distance is what counts
    for near, changed in ((0.122, 1), (0.123, 0)):
        found = agreement(answers([0.5, -3.0]), answers([-3.0, -3.0]), 0.5, near=near)
        assert (found.flips, found.changed) == (1, changed)


def test_kept_places_are_sets():
    first = np.array([[[0, 1, 2, 3]], [[4, 5, 6, 7]]])
    second = np.array([[[3, 2, 1, 0]], [[4, 5, 6, 9]]])
    pair = [replace(answers([0.0, 1.0]), kept=(kept, kept)) for kept in (first, second)]
    found = agreement(*pair, 0.5)
    assert (found.swapped, found.turned) == (0.125, 1)
    assert "kept places otherwise 12.50%, in 1 clips" in str(found)
    assert agreement(answers([0.0, 1.0]), pair[1], 0.5).swapped is None


def test_one_class_or_no_labels_has_no_auc():
    pair = answers([0.0, 1.0]), answers([0.0, 1.0])
    assert agreement(*pair, 0.5).auc is None
    assert agreement(*pair, 0.5, np.array([1, 1])).auc is None
    assert "ΔAUC not defined" in str(agreement(*pair, 0.5))


def test_answers_that_are_all_alike_have_no_order_to_lose():
    labels = np.array([0, 1, 0, 1])
    for apart, change in ((0.04, None), (0.4, -1.0)):
        before, after = [0.0, apart, 0.0, apart], [apart, 0.0, apart, 0.0]
        assert agreement(answers(before), answers(after), 0.5, labels).auc == change


def test_probabilities_alone_give_log_odds():
    found = agreement(answers([2.0, -3.0], known=False), answers([2.5, -3.0]), 0.5)
    assert found.logit * found.spread == pytest.approx(0.5)
    assert log_odds(np.array([0.0, 0.5, 1.0])) == pytest.approx([-SURE, 0, SURE])
    sure = agreement(answers([40.0], known=False), answers([50.0], known=False), 0.5)
    assert sure.logit == pytest.approx(0, abs=1e-6)
    # The margins see what the probabilities have lost; one clip has no spread, which counts as 1.
    assert agreement(answers([40.0]), answers([50.0]), 0.5).logit == 10


TIGHT = Tolerance(0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, changed=0.25)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"mean": 0.11}, ["mean |Δp| at most 0.1"]),
        ({"high": 0.21}, ["p99 |Δp| at most 0.2"]),
        ({"probability": 0.31}, ["max |Δp| at most 0.3"]),
        ({"probability": np.nan}, ["max |Δp| at most 0.3"]),  # not a number is not near
        ({"logit_mean": 0.41}, ["mean |Δlogit| of the spread at most 0.4"]),
        ({"logit_high": 0.51}, ["p99 |Δlogit| of the spread at most 0.5"]),
        ({"logit": 0.61}, ["max |Δlogit| of the spread at most 0.6"]),
        ({"auc": -0.71}, ["|ΔAUC| at most 0.7"]),
        ({"auc": -0.71, "pair": 0.02}, []),
        ({"auc": None}, []),
        ({"flips": 4}, []),
        ({"changed": 1}, []),  # one of four
        ({"changed": 2}, ["decisions changed further than 0.02 from the threshold at most 1"]),
        ({"inconsistency": 1.0, "map_mean": 1.0}, []),  # not asked for
        ({"swapped": 1.0, "turned": 4}, []),  # counted, not judged
    ],
)
def test_what_is_beyond_is_named(change: dict[str, object], words: list[str]):
    sound = agreement(answers([4.0, 1, 2, 3]), answers([4.0, 1, 2, 3]), 0.5)
    assert broken(replace(sound, **change), TIGHT) == words


def test_noise_raises_what_it_changes_itself_and_no_more():
    own = agreement(answers([4.0, 1, -2, 3], maps=True), answers([4.0, 1, 2, 3.5], maps=True), 0.5)
    assert own.changed == 1 and own.map_mean == pytest.approx(0.05)
    tolerance = Tolerance(0.02, 1e-3, 1e-3, 0.3, 1e-3, 1e-3, 0.6, 0.7, map_mean=1e-3, noise=2.0)
    raised = tolerance.raised(own)
    assert (raised.mean, raised.high) == (2 * own.mean, 2 * own.high)
    assert (raised.logit_mean, raised.logit_high) == (2 * own.logit_mean, 2 * own.logit_high)
    assert (raised.changed, raised.map_mean) == (0.5, own.map_mean)
    kept = ("near", "probability", "logit", "auc")
    assert [getattr(raised, name) for name in kept] == [getattr(tolerance, name) for name in kept]
    still = agreement(*[answers([4.0, 1, -2, 3], maps=True)] * 2, 0.5)
    assert tolerance.raised(still) == tolerance
    exact = replace(tolerance, noise=0.0).raised(own)
    assert exact == replace(tolerance, noise=0.0, map_mean=own.map_mean)


def test_the_map_counts_where_it_must_be_exact():
    found = agreement(answers([1.0], maps=True), answers([1.5], maps=True), 0.5)
    assert "map mean at most 0.002" in broken(found, EXPORTED["fp32"])
    assert not any("map" in words for words in broken(found, EXPORTED["int8"]))


def blobs(shift: int = 0, turned: bool = False) -> np.ndarray:
    """Maps of two clips, 8 frames of 16 × 16: a bright place that moves a cell in a frame."""
    t, y, x = np.mgrid[0:8, 0:16, 0:16]
    middle = 3 + (t + shift) % 8
    away = (y - middle) ** 2 + (x - 5) ** 2
    shown = np.exp(-away / 8.0)
    return np.stack([shown.transpose(0, 2, 1) if turned else shown] * 2)


@pytest.mark.parametrize(
    ("found", "sound"),
    [
        (blobs(), True),
        (blobs(shift=1), False),  # another frame's
        (blobs(turned=True), False),  # rows for columns
        (np.roll(blobs(), 1, axis=-1), False),  # a cell beside
    ],
)
def test_a_map_of_another_place_or_frame_is_refused(found: np.ndarray, sound: bool):
    reference = replace(answers([1.0, -1.0]), map=blobs())
    other = agreement(reference, replace(answers([1.0, -1.0]), map=found), 0.5)
    assert (broken(other, EXPORTED["fp32"]) == []) == sound


def test_single_entries_that_rounding_chose_otherwise_pass():
    """Two of 2,048: seen in a trained network, and in one whose modules almost sleep."""
    found = blobs()
    found[0, 3, 2, 2], found[1, 5, 9, 9] = 1.0, 0.3
    reference = replace(answers([1.0, -1.0]), map=blobs())
    other = agreement(reference, replace(answers([1.0, -1.0]), map=found), 0.5)
    assert other.inconsistency is not None and other.inconsistency > 0.2
    assert broken(other, EXPORTED["fp32"]) == []


@pytest.mark.parametrize("table", [EXPORTED, PREPARED], ids=["exported", "prepared"])
def test_rounding_more_is_allowed_more(table: dict[str, Tolerance]):
    for one, other in (("fp32", "fp16"), ("fp16", "int8")):
        first, second = vars(table[one]), vars(table[other])
        assert all(first[name] < second[name] for name in NUMBERS), (one, other)


NUMBERS = "near mean high probability logit_mean logit_high logit auc noise".split()


@pytest.mark.parametrize("wrong", [np.inf, np.nan])
def test_an_overflow_is_refused_on_noise_too(wrong: float) -> None:
    found = agreement(answers([-2.0, 1.0, 0.5, 4.0]), answers([-2.0, wrong, 0.5, 4.0]), 0.5)
    assert broken(found, HALF_ON_NOISE)
    assert broken(found, HALF_ON_NOISE.raised(found))  # whatever noise may do
