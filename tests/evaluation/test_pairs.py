"""Paired accuracy, held against counts by hand and a published interval."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.pairs import paired

ROWS = [
    (("set", "real", "", "a"), 0, "", 0.2),
    (("set", "real", "", "b"), 0, "", 0.6),
    (("set", "swap", "", "a1"), 1, "a", 0.9),
    (("set", "swap", "", "b1"), 1, "b", 0.4),
    (("set", "lips", "", "b2"), 1, "b", 0.6),  # a tie
    (("set", "lips", "", "c1"), 1, "c", 0.9),  # whose original is not there
    (("set", "lips", "", "d1"), 1, "", 0.9),  # whose original is not known
    (("other", "swap", "", "a2"), 1, "a", 0.1),  # another set's a
]


def results(rows):
    scores = Scores(
        tuple(key for key, *_ in rows),
        np.array([label for _, label, *_ in rows], np.int32),
        np.array([score for *_, score in rows]),
    )
    videos = [{"key": list(key), "label": label, "original": o} for key, label, o, _ in rows]
    return {row.method: row for row in paired(scores, videos)}


def test_each_fake_is_held_against_its_own_original() -> None:
    found = results(ROWS)
    assert list(found) == ["", "swap", "lips"]
    assert (found["swap"].pairs, found["swap"].higher) == (2, 1.0)
    assert (found["lips"].pairs, found["lips"].higher) == (1, 0.5)
    assert (found[""].pairs, found[""].accuracy) == (3, 0.5)


def test_one_method_alone_is_not_repeated() -> None:
    assert list(results(ROWS[:4])) == ["swap"]


def test_the_interval_is_wilsons() -> None:
    """Newcombe 1998, Table I: 81 of 263 gives 0.2553 to 0.3662."""
    rows = []
    for number in range(263):
        rows.append((("s", "real", "", f"r{number}"), 0, "", 0.5))
        rows.append((("s", "f", "", f"f{number}"), 1, f"r{number}", 0.9 if number < 81 else 0.1))
    found = results(rows)["f"]
    assert (found.low, found.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_without_originals_there_is_nothing() -> None:
    assert results(ROWS[:2]) == {}
