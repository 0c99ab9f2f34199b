"""Scores of clips and videos, with the bug of this field that merges videos."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from keras_ddl.data.prepared import PreparedSplit
from keras_ddl.evaluation.clip_scores import Scores, summary


def split(keys: list[tuple[str, str, str, str]], labels: list[int]) -> PreparedSplit:
    return PreparedSplit(None, np.array(labels, np.int32), tuple(keys), (), ())  # type: ignore[arg-type]


def test_equal_names_under_two_methods_do_not_merge() -> None:
    """The same stem lies under both methods, and one of the four fakes is missed: AUC 3/4."""
    fakes = [(method, stem) for method in ("DF", "FS") for stem in ("000_003", "003_000")]
    names = [("real", "000"), ("real", "003"), *fakes]
    keys = [("FF++", method, "c23", stem) for method, stem in names]
    scores = np.array([0.4, 0.4, 0.9, 0.9, 0.3, 0.9])
    logits = np.log(np.stack([1 - scores, scores], axis=1))
    found = Scores.from_logits(split(keys, [0, 0, 1, 1, 1, 1]), logits)
    assert len(found.videos().keys) == 6
    assert summary(found, 0.5)["video"]["auc"] == 0.750
    # Keys of stems alone average the missed fake away: this table would show the bug.
    merged = replace(found, keys=tuple((key[3],) for key in keys))  # type: ignore[arg-type]
    assert summary(merged, 0.5)["video"]["auc"] == 1.000


def test_ways_to_make_a_videos_score() -> None:
    keys = (("d", "m", "", "v"),) * 4
    scores = Scores(keys, np.ones(4, np.int32), np.array([0.1, 0.5, 0.7, 0.9]))
    assert scores.videos().probabilities.tolist() == pytest.approx([0.55])
    assert scores.videos("median").probabilities.tolist() == pytest.approx([0.6])
    assert scores.videos("topk").probabilities.tolist() == pytest.approx([0.7])


def test_temperature_divides_the_logits() -> None:
    data = split([("a",) * 4, ("b",) * 4], [0, 1])
    logits = np.array([[0.0, 2.0], [1000.0, 0.0]], np.float32)
    scores = Scores.from_logits(data, logits, temperature=2.0)
    np.testing.assert_allclose(scores.probabilities, [1 / (1 + np.exp(-1.0)), 0.0], atol=1e-12)


def test_rows_of_a_mask() -> None:
    keys = tuple(("d", "m", "", name) for name in "abc")
    part = Scores(keys, np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3])).of(np.array([1, 0, 1]) > 0)
    assert part.keys == (keys[0], keys[2])
    assert part.counts() == (1, 1)
    assert part.probabilities.tolist() == [0.1, 0.3]
