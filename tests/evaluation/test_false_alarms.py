"""False alarms, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.false_alarms import false_alarms

ROWS = [  # video, label, source, score
    ("a", 0, "camera", 0.2),
    ("b", 0, "camera", 0.5),
    ("c", 0, "phone", 0.9),
    ("d", 0, "camera", 0.1),
    ("e", 1, "phone", 0.99),
]


def found(rows, threshold=0.5):
    keys = tuple(("set", "fake" if label else "real", "", name) for name, label, *_ in rows)
    labels = np.array([row[1] for row in rows], np.int32)
    scores = Scores(keys, labels, np.array([row[3] for row in rows]))
    videos = [
        {"key": list(key), "label": row[1]} | ({"source": row[2]} if row[2] else {})
        for key, row in zip(keys, rows, strict=True)
    ]
    return false_alarms(scores, videos, threshold)


def test_reals_at_the_threshold_are_counted_by_source_the_worst_first() -> None:
    rows = [(row.source, row.called, row.reals) for row in found(ROWS)]
    assert rows == [("", 2, 4), ("phone", 1, 1), ("camera", 1, 3)]


def test_one_source_or_none_is_told_once() -> None:
    assert [row.source for row in found([(n, lab, "", s) for n, lab, _, s in ROWS])] == [""]
    assert found(ROWS[4:]) == ()


def test_the_interval_is_wilsons() -> None:
    """Newcombe 1998, Table I: 15 of 148 gives 0.0624 to 0.1605."""
    rows = [(str(n), 0, "", 0.9 if n < 15 else 0.1) for n in range(148)]
    (row,) = found(rows)
    assert row.rate == pytest.approx(15 / 148)
    assert (row.low, row.high) == pytest.approx((0.0624, 0.1605), abs=5e-5)
