"""The tables on a hand-made set in which every shortcut gives another number."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from keras_ddl.edge.metrics import auc, video_scores
from keras_ddl.evaluation.breakdown import breakdown
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.results import GroupResult

# Dataset, method, compression, video: scores of its clips. What c40 looks like is all scored
# higher, and both methods use the same stems.
CLIPS: dict[tuple[str, str, str, str], list[float]] = {
    ("FF++", "real", "c23", "000"): [0.1, 0.1],
    ("FF++", "real", "c23", "003"): [0.2],
    ("FF++", "DF", "c23", "000_003"): [0.3],
    ("FF++", "DF", "c23", "003_000"): [0.4],
    ("FF++", "NT", "c23", "000_003"): [0.05],
    ("FF++", "NT", "c23", "003_000"): [0.1, 0.2],
    ("FF++", "real", "c40", "000"): [0.6],
    ("FF++", "real", "c40", "003"): [0.7],
    ("FF++", "DF", "c40", "000_003"): [0.8],
    ("FF++", "DF", "c40", "003_000"): [0.9],
    ("CDF", "real", "", "000"): [0.9],
    ("CDF", "Celeb-synthesis", "", "000"): [0.1],
    ("DF1.0", "end_to_end", "", "000_003"): [0.99],
}


@pytest.fixture
def scores() -> Scores:
    rows = [(key, value) for key, values in CLIPS.items() for value in values]
    keys = tuple(key for key, _ in rows)
    labels = np.array([int(key[1] != "real") for key in keys], np.int32)
    return Scores(keys, labels, np.array([value for _, value in rows]))


def found(rows: Iterable[GroupResult], number: str = "auc") -> dict[str, Any]:
    """The number of each row's videos by what the row is about."""
    return {"/".join(row.names.values()): row.video and row.video[number] for row in rows}


def test_a_method_is_held_against_the_reals_of_its_compression(scores: Scores) -> None:
    rows = breakdown(scores, 0.5, resamples=20).methods
    assert found(rows) == {
        "FF++/c23/DF": 1.0,  # 0.3, 0.4 over 0.1, 0.2
        "FF++/c23/NT": 0.25,  # 0.05 below both, 0.15 between
        "FF++/c40/DF": 1.0,  # 0.8, 0.9 over 0.6, 0.7
        "CDF//Celeb-synthesis": 0.0,
        "DF1.0//end_to_end": None,
    }
    # The shortcuts. All reals of the dataset, whatever the compression: 12 of 16 pairs.
    reals = np.array([key[:2] == ("FF++", "real") for key in scores.keys])
    fakes = np.array([key[:2] == ("FF++", "DF") for key in scores.keys])
    pooled = scores.of(reals | fakes).videos()
    assert auc(pooled.labels, pooled.probabilities) == 0.75
    # Keys without the method: DF and NT of one stem become one video.
    part = scores.of(np.array([key[0] == "FF++" and key[2] == "c23" for key in scores.keys]))
    merged = video_scores([key[3] for key in part.keys], part.labels, part.probabilities)
    assert len(merged.keys) == 4
    assert auc(merged.labels, merged.scores) not in (1.0, 0.25)


def test_groups_count_their_own_videos(scores: Scores) -> None:
    rows = breakdown(scores, 0.5, resamples=20)
    assert found(rows.methods, "real")["FF++/c23/DF"] == 2
    assert found(rows.methods, "fake")["FF++/c23/NT"] == 2
    assert found(rows.compressions, "real") == {
        "FF++/c23": 2,
        "FF++/c40": 2,
        "CDF/": 1,
        "DF1.0/": None,
    }
    assert found(rows.datasets, "fake") == {"FF++": 6, "CDF": 1, "DF1.0": None}
    clips = {row.names["dataset"]: row.clip and row.clip["real"] for row in rows.datasets}
    assert clips == {"FF++": 5, "CDF": 1, "DF1.0": None}


def test_one_class_is_said_and_not_numbered(scores: Scores) -> None:
    rows = breakdown(scores, 0.5, resamples=20).methods
    assert rows[-1].missing == "0 real and 1 fake videos: a comparison needs both"
    assert all(row.missing == "" for row in rows[:-1])


def test_the_whole_set(scores: Scores) -> None:
    result = breakdown(scores, 0.5, resamples=20)
    videos = [sum(values) / len(values) for values in CLIPS.values()]
    labels = [int(key[1] != "real") for key in CLIPS]
    assert result.video["auc"] == pytest.approx(auc(labels, videos))
    assert result.confusion == {
        "true_fake": 3,  # two of c40 and the last
        "false_fake": 3,  # the reals of c40 and CDF's
        "true_real": 2,
        "false_real": 5,
    }
    assert result.video_median["accuracy"] == result.video_topk["accuracy"] == 5 / 13
    for level, numbers in (("clip", result.clip), ("video", result.video)):
        for name, (low, high) in result.intervals[level].items():
            assert low <= numbers[name] <= high, (level, name)


@pytest.mark.parametrize(("label", "accuracy"), [(1, 3 / 8), (0, 2 / 5)])
def test_one_class_alone_has_the_numbers_that_it_defines(
    scores: Scores, label: int, accuracy: float
) -> None:
    result = breakdown(scores.of(scores.labels == label), 0.5)
    # of the eight fakes 0.8, 0.9 and 0.99 are called fake, of the five reals 0.1 and 0.2 are not
    assert result.video["accuracy"] == accuracy
    assert result.video["auc"] is result.video["f1"] is result.clip["eer"] is None
    assert result.video["recall"] == (accuracy if label else None)
    assert (result.video["real"], result.video["fake"]) == ((0, 8) if label else (5, 0))
    names = {"accuracy", "recall"} if label else {"accuracy"}
    for level, numbers in (("clip", result.clip), ("video", result.video)):
        assert set(result.intervals[level]) == names
        low, high = result.intervals[level]["accuracy"]
        assert low < numbers["accuracy"] < high
    assert all(row.missing for row in (*result.datasets, *result.compressions, *result.methods))
    assert sum(result.confusion.values()) == (8 if label else 5)
    assert result.video_median["accuracy"] == result.video_topk["accuracy"] == accuracy
