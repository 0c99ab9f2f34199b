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
    before, after = [-2.0, 1.0, 0.5, 4.0], [-2.0, 1.0, -0.5, 6.0]
    found = agreement(answers(before, maps=True), answers(after, maps=True), 0.5, LABELS)
    assert (found.clips, found.flips, found.worst) == (4, 1, 2)
    assert (found.logit, found.logit_mean, found.largest_logit) == (2.0, 0.75, 4.0)
    # σ(0.5) = 0.622459, σ(4) = 0.982014, σ(6) = 0.997527
    assert found.probability == pytest.approx(2 * 0.622459 - 1, abs=1e-6)
    assert found.mean == pytest.approx((0.244919 + 0.997527 - 0.982014) / 4, abs=1e-6)
    # Of the four pairs (real, fake) 3 are in order before, and after: (-2, -0.5), (-2, 6), (1, 6).
    assert found.auc == 0
    assert found.inconsistency == pytest.approx(0.2)  # 0.4 and 0.6; 0.5 and 0.5 are as one
    assert found.map_mean == pytest.approx(0.2)  # of that clip alone
    swapped = agreement(answers(before), answers([-2.0, 1.0, -3.0, 6.0]), 0.5, LABELS)
    assert swapped.auc == pytest.approx(-0.25)  # (-2, -3) is out of order too


def test_one_class_or_no_labels_has_no_auc():
    pair = answers([0.0, 1.0]), answers([0.0, 1.0])
    assert agreement(*pair, 0.5).auc is None
    assert agreement(*pair, 0.5, np.array([1, 1])).auc is None
    assert "ΔAUC not defined" in str(agreement(*pair, 0.5))


def test_probabilities_alone_give_log_odds():
    found = agreement(answers([2.0, -3.0], known=False), answers([2.5, -3.0]), 0.5)
    assert found.logit == pytest.approx(0.5)
    assert log_odds(np.array([0.0, 0.5, 1.0])) == pytest.approx([-SURE, 0, SURE])
    sure = agreement(answers([40.0], known=False), answers([50.0], known=False), 0.5)
    assert sure.logit == pytest.approx(0, abs=1e-6)
    # The margins see what the probabilities have lost.
    assert agreement(answers([40.0]), answers([50.0]), 0.5).logit == 10


TIGHT = Tolerance(0.1, 0.1, 0.1, flips=0.25)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"probability": 0.11}, ["|Δp| at most 0.1"]),
        ({"probability": np.nan}, ["|Δp| at most 0.1"]),  # not a number is not near
        ({"logit": 0.41}, ["|Δlogit| at most 0.4"]),  # a tenth of 4
        ({"logit": 0.11, "largest_logit": 0.3}, ["|Δlogit| at most 0.1"]),  # of 1 at least
        ({"auc": -0.2}, ["|ΔAUC| at most 0.1"]),
        ({"auc": None}, []),
        ({"flips": 1}, []),  # one of four
        ({"flips": 2}, ["flips at most 1"]),
        ({"inconsistency": 1.0}, []),  # not asked for
    ],
)
def test_what_is_beyond_is_named(change: dict[str, object], words: list[str]):
    sound = agreement(answers([4.0, 1, 2, 3]), answers([4.0, 1, 2, 3]), 0.5)
    assert broken(replace(sound, **change), TIGHT) == words


def test_few_clips_are_judged_by_the_logits_of_all():
    everything = agreement(answers([30.0, 1.0]), answers([30.0, 1.0]), 0.5)
    few = agreement(answers([1.0]), answers([1.3]), 0.5)
    assert "|Δlogit| at most 0.1" in broken(few, TIGHT)
    assert broken(few.among(everything), TIGHT) == []  # 0.3 of 30
    assert few.among(everything).logit == few.logit


def test_the_map_counts_where_it_must_be_exact():
    found = agreement(answers([1.0], maps=True), answers([1.5], maps=True), 0.5)
    assert "map mean at most 0.002" in broken(found, EXPORTED["fp32"])
    assert not any("map" in words for words in broken(found, EXPORTED["fp16"]))


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
        assert table[one].probability < table[other].probability
        assert table[one].logit < table[other].logit and table[one].auc < table[other].auc


@pytest.mark.parametrize(
    ("after", "passes"),
    [
        ([-2.0, 1.2, 0.5, 3.7], True),  # 7 % of 4, which rounding does on noise
        ([-2.0, -0.6, 0.5, 4.0], False),  # two fifths of it, which nothing but a fault does
        ([-2.0, np.inf, 0.5, 4.0], False),
        ([-2.0, np.nan, 0.5, 4.0], False),
    ],
)
def test_on_noise_float16_may_round_and_not_overflow(after: list[float], passes: bool) -> None:
    found = agreement(answers([-2.0, 1.0, 0.5, 4.0]), answers(after), 0.5)
    assert (not broken(found, HALF_ON_NOISE)) is passes
