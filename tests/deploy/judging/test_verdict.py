"""The judge on sequences that a person can check."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.bundle import Bundle
from deploy.judging.quality import DAMAGED
from deploy.judging.verdict import (
    BETWEEN,
    NOT_FINITE,
    SYNTHETIC_ONLY,
    TOO_FEW,
    Judge,
    Label,
    Policy,
    policy_for,
)
from keras_ddl.edge.clipspec import ClipSpec

R, U, F = Label.REAL, Label.UNCERTAIN, Label.FAKE
NAN = float("nan")
AT_ONCE = Policy(hold_ms=0.0, cooldown_ms=0.0)
STRIDE_MS = 500.0


def verdicts(
    judge: Judge, probabilities: Sequence[float], track: int = 1, start_ms: float = 0.0
) -> list[Label]:
    """The labels after each of some clips, one every half second."""
    times = (start_ms + i * STRIDE_MS for i in range(len(probabilities)))
    pairs = zip(times, probabilities, strict=True)
    return [judge.update(track, time, value).label for time, value in pairs]


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
        ([0.9, 0.9, 0.1, 0.1, 0.1], [U, F, F, F, R]),  # mean log-odds + + + 0 -: 0 is no exit
        ([0.9, 0.9, 0.4, 0.1], [U, F, F, F]),  # 0.52: below the entrance, above the exit
        ([0.1, 0.1, 0.6, 0.9], [U, R, R, R]),  # and the same for REAL
        ([0.1, 0.1, 0.6, 0.99], [U, R, R, U]),  # 0.54: REAL is left, FAKE not entered
        ([0.9] * 5 + [0.1] * 5, [U, F, F, F, F, F, F, R, R, R]),  # the window forgets
        ([0.9, NAN, 0.9], [U, U, F]),  # what is not a number counts for nothing
        ([0.0, 1.0], [U, U]),  # certain and contrary: finite, and they cancel
        ([1.0, 1.0], [U, F]),
        ([0.0, 0.0], [U, R]),
    ],
)
def test_sequences(probabilities: list[float], labels: list[Label]) -> None:
    assert verdicts(Judge(AT_ONCE), probabilities) == labels


def test_smoothing_is_the_mean_of_log_odds_over_the_window() -> None:
    judge = Judge(Policy())
    values = [0.2, 0.7, 0.9, 0.6, 0.35, 0.8, 0.99]
    for index, value in enumerate(values):
        decision = judge.update(1, index * STRIDE_MS, value)
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
    judge = Judge(dataclasses.replace(policy, hold_ms=0.0))
    assert verdicts(judge, [1.0, 1.0]) == [U, F]
    assert verdicts(judge, [0.0, 0.0], track=2) == [U, R]


def test_a_measured_bound_of_real_takes_the_place_of_the_band() -> None:
    """FAKE from the very threshold whose false alarms were measured, and UNCERTAIN down to it."""
    spec = ClipSpec(threshold=0.52, real_to=0.44)
    policy = policy_for(Bundle(Path(), spec, "", "clips"), "real")
    assert (policy.fake_from, policy.real_to) == (0.52, 0.44)
    assert policy.middle == pytest.approx(0.48)
    judge = Judge(dataclasses.replace(policy, window=1, min_clips=1, hold_ms=0.0, cooldown_ms=0.0))
    scores = [0.5, 0.53, 0.49, 0.47, 0.43, 0.47, 0.49, 0.51]
    assert verdicts(judge, scores) == [U, F, F, U, R, R, U, U]


def test_a_bundles_probability_is_taken_as_it_is() -> None:
    """The temperature is in the graph already: whatever the spec says, it is not applied again."""
    spec = ClipSpec(temperature=4.0, threshold=0.3)
    judge = Judge(policy_for(Bundle(Path(), spec, "", "FaceForensics++"), "real"))
    for index, value in enumerate((0.9, 0.9, 0.6)):
        decision = judge.update(1, index * STRIDE_MS, value)
    odds = [math.log(9), math.log(9), math.log(1.5)]
    assert decision.probability == pytest.approx(1 / (1 + math.exp(-sum(odds) / 3)))
    assert judge.policy.threshold == 0.3
    assert judge.conclude()[1]["fake_probability"] == pytest.approx(0.8)


def test_a_videos_verdict_rests_on_the_mean_that_evaluation_takes() -> None:
    judge = Judge(Policy(threshold=0.6))
    verdicts(judge, (1.0, 1.0, 0.25))  # mean 0.75: fake from 0.7 on
    assert judge.conclude()[1]["verdict"] == "FAKE"


def test_poor_clips_are_uncertain_and_do_not_enter_the_score() -> None:
    judge = Judge(AT_ONCE)
    judge.update(1, 0.0, 0.1)
    before = judge.update(1, 500.0, 0.1)
    blurred = judge.update(1, 1000.0, 0.99, poor="face is blurred")
    after = judge.update(1, 1500.0, 0.1)
    assert (blurred.label, blurred.reason) == (U, "face is blurred")
    assert blurred.probability == before.probability
    assert after.label is R


def test_a_claim_waits_until_it_has_been_supported_long_enough() -> None:
    judge = Judge(Policy(hold_ms=400.0, cooldown_ms=0.0))
    times = (0.0, 300.0, 600.0, 900.0, 1200.0)  # two clips are needed: supported since 300
    labels = [judge.update(1, time, 0.9).label for time in times]
    assert labels == [U, U, U, F, F]
    waiting = Judge(Policy(hold_ms=400.0, cooldown_ms=0.0))
    for time in times[:3]:
        decision = waiting.update(1, time, 0.9)
    assert decision.reason == "not yet FAKE (score >= 0.60): supported for too short a time"


def test_one_poor_clip_in_a_row_of_good_ones_changes_nothing() -> None:
    judge = Judge(Policy(hold_ms=400.0, cooldown_ms=0.0))
    poor = ["", "", "", "face is blurred", "", ""]
    rows = [judge.update(1, i * 500.0, 0.9, poor=why) for i, why in enumerate(poor)]
    assert [row.label for row in rows] == [U, U, F, F, F, F]


def test_support_that_is_interrupted_counts_from_its_new_beginning() -> None:
    judge = Judge(Policy(window=1, min_clips=1, hold_ms=400.0, cooldown_ms=0.0))
    values = [0.9, 0.5, 0.9, 0.9, 0.9]  # every 300 ms: FAKE supported at 0, and from 600 on
    labels = [judge.update(1, i * 300.0, value).label for i, value in enumerate(values)]
    assert labels == [U, U, U, U, F]


def test_a_verdict_stands_until_it_has_cooled_down() -> None:
    judge = Judge(Policy(window=1, min_clips=1, hold_ms=0.0, cooldown_ms=1000.0))
    values = [0.9, 0.1, 0.1, 0.9, 0.9, 0.9]  # every 500 ms: changes at 0, 1000, 2000
    rows = [judge.update(1, i * 500.0, value) for i, value in enumerate(values)]
    assert [row.label for row in rows] == [F, F, R, R, F, F]
    assert rows[1].reason == "not yet REAL (score <= 0.40): another verdict just given"


def test_ended_tracks_stay_in_the_sum_and_the_newest_thousand_by_name() -> None:
    judge = Judge(AT_ONCE)
    for track in range(1, 1004):
        verdicts(judge, (0.9, 0.7), track)
        judge.end(track)
        assert judge.current(track) is None
    judge.end(7)  # twice is fine
    tracks, video = judge.conclude()
    assert (min(tracks), max(tracks), len(tracks), judge.left_out) == (4, 1003, 1000, 3)
    assert tracks[1003] == {
        "clips": 2,
        "fake_probability": pytest.approx(0.8),
        "verdict": "FAKE",
        "reason": "score >= 0.60",
    }
    assert (video["clips"], video["fake_probability"]) == (2006, pytest.approx(0.8))


def test_poor_clips_alone_never_add_up_to_a_verdict() -> None:
    judge = Judge(Policy())
    for index in range(9):
        decision = judge.update(1, index * STRIDE_MS, 0.99, poor="face smaller than 48 px")
    assert decision.probability is None
    tracks, video = judge.conclude()
    assert tracks[1]["verdict"] == video["verdict"] == "UNCERTAIN"
    assert video["reason"] == TOO_FEW.format(2)
    assert video["fake_probability"] == pytest.approx(0.99)


def test_a_damaged_picture_is_no_evidence() -> None:
    judge = Judge(AT_ONCE)
    verdicts(judge, (0.1, 0.2))
    for index in range(9):
        decision = judge.update(1, 2000.0 + index * STRIDE_MS, 0.99, DAMAGED, counts=False)
    assert (decision.label, decision.reason) == (U, DAMAGED)
    _, video = judge.conclude()
    assert video["fake_probability"] == pytest.approx(0.15) and video["clips"] == 11
    assert video["verdict"] == "REAL"  # by what could be seen


def test_a_model_that_abstains_reports_scores_and_no_verdict() -> None:
    judge = Judge(Policy(abstain=SYNTHETIC_ONLY))
    for index in range(4):
        decision = judge.update(1, index * STRIDE_MS, 0.99)
    assert (decision.label, decision.reason) == (U, SYNTHETIC_ONLY)
    assert decision.probability == pytest.approx(0.99)
    assert judge.conclude()[1]["verdict"] == "UNCERTAIN"


def test_tracks_do_not_mix_and_the_video_is_the_mean_of_all_clips() -> None:
    judge = Judge(AT_ONCE)
    verdicts(judge, (0.9, 0.8, 0.7))
    verdicts(judge, (0.1, 0.2), track=2)
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
    decision = Judge(Policy()).update(1, 0.0, NAN)
    assert (decision.reason, decision.probability) == (NOT_FINITE, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"real_bound": 0.6},
        {"window": 0},
        {"min_clips": 0},
        {"hold_ms": -1.0},
        {"cooldown_ms": float("nan")},
    ],
)
def test_impossible_policies_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Policy(**wrong)
