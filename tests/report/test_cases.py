"""Which videos are the worst mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.score_sets import ScoredSet
from keras_ddl.report.cases import worst_cases, wrongness

# video: label, scores of its clips
VIDEOS = {
    "a": (0, [0.1, 0.2]),
    "b": (0, [0.9, 0.5]),  # wrong, 0.7
    "c": (1, [0.8, 0.9]),
    "d": (1, [0.1, 0.0]),  # wrong, 0.05
    "e": (1, [0.2, 0.5]),  # wrong, 0.35
}


def part(names: str, name: str = "set") -> ScoredSet:
    rows = [(key, VIDEOS[key][0], score) for key in names for score in VIDEOS[key][1]]
    keys = tuple(("d", ("real", "m")[label], "", key) for key, label, _ in rows)
    labels = np.array([label for _, label, _ in rows], np.int32)
    scores = Scores(keys, labels, np.array([score for _, _, score in rows]))
    return ScoredSet(name, np.zeros((len(rows), 4, 8, 8, 3), np.uint8), np.zeros(0), scores, {})


@pytest.mark.parametrize(
    ("label", "score", "expected"),
    [(0, 1.0, 1.0), (1, 0.0, 1.0), (0, 0.25, 0.0), (0, 0.625, 0.5), (1, 0.125, 0.5), (0, 0.0, -1)],
)
def test_wrongness_at_a_threshold_of_a_quarter(label: int, score: float, expected: float) -> None:
    assert wrongness(label, score, 0.25) == expected


def test_worst_first_with_the_clip_that_says_so() -> None:
    cases = worst_cases([part("abcde")], 0.5)
    assert [case.key[3] for case in cases] == ["d", "b", "e"]  # 0.9, 0.4, 0.3 beyond
    assert [(case.clip, case.clip_score) for case in cases] == [(7, 0.0), (2, 0.9), (8, 0.2)]
    assert all(case.wrong for case in cases)
    assert [case.score for case in cases] == pytest.approx([0.05, 0.7, 0.35])


def test_sets_compete_and_the_count_is_kept() -> None:
    cases = worst_cases([part("abc", "one"), part("de", "two")], 0.5, count=2)
    assert [(case.part.name, case.key[3]) for case in cases] == [("two", "d"), ("one", "b")]


def test_a_score_at_the_threshold_is_called_fake() -> None:
    wrong = worst_cases([part("ac")], 0.15)
    assert [(case.key[3], case.wrong) for case in wrong] == [("a", True)]


def test_without_mistakes_the_closest() -> None:
    cases = worst_cases([part("ac")], 0.5)
    assert [(case.key[3], case.wrong) for case in cases] == [("a", False), ("c", False)]
