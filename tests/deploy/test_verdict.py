"""The judge on sequences that a person can check."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from deploy.bundle import Bundle
from deploy.verdict import (
    BETWEEN,
    NOT_FINITE,
    SYNTHETIC_ONLY,
    TOO_FEW,
    Judge,
    Label,
    Policy,
    policy_for,
)
from keras_ddl.clipspec import ClipSpec

R, U, F = Label.REAL, Label.UNCERTAIN, Label.FAKE
NAN = float("nan")


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        ([0.9], [U]),  # one clip is not enough
        ([0.9, 0.9], [U, F]),
        ([0.1, 0.1], [U, R]),
        ([0.5, 0.5, 0.5], [U, U, U]),  # between the thresholds
        ([0.6, 0.6], [U, F]),  # exactly at threshold + band
        ([0.4, 0.4], [U, R]),  # exactly at threshold - band
        ([0.9, 0.1], [U, U]),  # opposite evidence of equal weight cancels
        ([0.9, 0.9, 0.1, 0.1, 0.1], [U, F, F, U, R]),  # log-odds: +2 +2 -2 -2 -2
        ([0.9] * 5 + [0.1] * 5, [U, F, F, F, F, F, F, R, R, R]),  # the window forgets
        ([0.9, NAN, 0.9], [U, U, F]),  # what is not a number counts for nothing
        ([0.0, 1.0], [U, U]),  # certain and contrary: finite, and they cancel
        ([1.0, 1.0], [U, F]),
        ([0.0, 0.0], [U, R]),
    ],
)
def test_sequences(probabilities: list[float], labels: list[Label]) -> None:
    judge = Judge(Policy())
    assert [judge.update(1, value).label for value in probabilities] == labels


def test_smoothing_is_the_mean_of_log_odds_over_the_window() -> None:
    judge = Judge(Policy())
    values = [0.2, 0.7, 0.9, 0.6, 0.35, 0.8, 0.99]
    for value in values:
        decision = judge.update(1, value)
    odds = [math.log(p / (1 - p)) for p in values[-5:]]
    expected = 1 / (1 + math.exp(-sum(odds) / 5))
    assert decision.probability == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("threshold", "fake_from", "real_to"),
    [(0.5, 0.6, 0.4), (0.3, 0.4, 0.2), (0.9, 0.95, 0.8), (0.98, 0.99, 0.88), (0.04, 0.14, 0.02)],
)
def test_the_band_never_reaches_0_or_1(threshold: float, fake_from: float, real_to: float) -> None:
    policy = Policy(threshold=threshold)
    assert policy.fake_from == pytest.approx(fake_from)
    assert policy.real_to == pytest.approx(real_to)
    judge = Judge(policy)
    assert [judge.update(1, 1.0).label, judge.update(1, 1.0).label] == [U, F]
    assert [judge.update(2, 0.0).label, judge.update(2, 0.0).label] == [U, R]


def test_a_bundles_probability_is_taken_as_it_is() -> None:
    """The temperature is in the graph already: whatever the spec says, it is not applied again."""
    spec = ClipSpec(temperature=4.0, threshold=0.3)
    judge = Judge(policy_for(Bundle(Path(), spec, "", "FaceForensics++", False), "real"))
    for value in (0.9, 0.9, 0.6):
        decision = judge.update(1, value)
    odds = [math.log(9), math.log(9), math.log(1.5)]
    assert decision.probability == pytest.approx(1 / (1 + math.exp(-sum(odds) / 3)))
    assert judge.policy.threshold == 0.3
    assert judge.conclude()[1]["fake_probability"] == pytest.approx(0.8)


def test_a_videos_verdict_rests_on_the_mean_that_evaluation_takes() -> None:
    judge = Judge(Policy(threshold=0.6))
    for value in (1.0, 1.0, 0.25):  # mean 0.75: fake from 0.7 on
        judge.update(1, value)
    assert judge.conclude()[1]["verdict"] == "FAKE"


def test_poor_clips_are_uncertain_and_do_not_enter_the_score() -> None:
    judge = Judge(Policy())
    judge.update(1, 0.1)
    before = judge.update(1, 0.1)
    blurred = judge.update(1, 0.99, poor="face is blurred")
    after = judge.update(1, 0.1)
    assert (blurred.label, blurred.reason) == (U, "face is blurred")
    assert blurred.probability == before.probability
    assert after.label is R


def test_poor_clips_alone_never_add_up_to_a_verdict() -> None:
    judge = Judge(Policy())
    for _ in range(9):
        decision = judge.update(1, 0.99, poor="face smaller than 48 px")
    assert decision.probability is None
    tracks, video = judge.conclude()
    assert tracks[1]["verdict"] == video["verdict"] == "UNCERTAIN"
    assert video["reason"] == TOO_FEW.format(2)
    assert video["fake_probability"] == pytest.approx(0.99)


def test_a_model_that_abstains_reports_scores_and_no_verdict() -> None:
    judge = Judge(Policy(abstain=SYNTHETIC_ONLY))
    for _ in range(4):
        decision = judge.update(1, 0.99)
    assert (decision.label, decision.reason) == (U, SYNTHETIC_ONLY)
    assert decision.probability == pytest.approx(0.99)
    assert judge.conclude()[1]["verdict"] == "UNCERTAIN"


def test_tracks_do_not_mix_and_the_video_is_the_mean_of_all_clips() -> None:
    judge = Judge(Policy())
    for value in (0.9, 0.8, 0.7):
        judge.update(1, value)
    for value in (0.1, 0.2):
        judge.update(2, value)
    assert (judge.current(1).label, judge.current(2).label) == (F, R)
    assert judge.current(3) is None
    tracks, video = judge.conclude()
    assert {track: row["clips"] for track, row in tracks.items()} == {1: 3, 2: 2}
    assert tracks[1]["fake_probability"] == pytest.approx(0.8)
    assert tracks[2]["fake_probability"] == pytest.approx(0.15)
    assert video["fake_probability"] == pytest.approx(0.54)
    assert (tracks[1]["verdict"], tracks[2]["verdict"]) == ("FAKE", "REAL")
    assert (video["verdict"], video["reason"], video["clips"]) == ("UNCERTAIN", BETWEEN, 5)


def test_nothing_seen_is_uncertain_without_a_score() -> None:
    tracks, video = Judge(Policy()).conclude()
    assert tracks == {}
    assert (video["clips"], video["fake_probability"], video["verdict"]) == (0, None, "UNCERTAIN")


def test_not_a_number_says_so() -> None:
    decision = Judge(Policy()).update(1, NAN)
    assert (decision.reason, decision.probability) == (NOT_FINITE, None)


@pytest.mark.parametrize(
    "wrong",
    [{"threshold": 0.0}, {"threshold": 1.0}, {"window": 0}, {"min_clips": 0}],
)
def test_impossible_policies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Policy(**wrong)
