"""The tables' numbers: a set as a whole, per dataset, per compression and per method.

A method is held against the reals of its own dataset and compression. Grouping by file name, or
against all reals, would give another number: equal stems lie under every method, and a network can
tell compressions apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from keras_ddl.edge.metrics import confusion, known_numbers
from keras_ddl.evaluation.bootstrap import RESAMPLES, report_intervals
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.evaluation.results import Breakdown, GroupResult

DATASET, METHOD, COMPRESSION = 0, 1, 2  # places in a key

Group = tuple[dict[str, str], np.ndarray]


def breakdown(scores: Scores, threshold: float, resamples: int = RESAMPLES) -> Breakdown:
    """Compute every number of one test set; of one class alone those that it defines.

    Args:
        scores: Of all its clips.
        threshold: Probability at and above which a clip or video is fake.
        resamples: Of the bootstrap behind the intervals.
    """
    median, topk = (
        known_numbers(part.labels, part.probabilities, threshold)
        for part in (scores.videos("median"), scores.videos("topk"))
    )
    means = scores.videos()
    return Breakdown(
        **_measured(scores, threshold, resamples),
        video_median=median,
        video_topk=topk,
        confusion=confusion(means.labels, means.probabilities, threshold)._asdict(),
        datasets=_rows(scores, by_dataset, threshold, resamples),
        compressions=_rows(scores, by_compression, threshold, resamples),
        methods=_rows(scores, by_method, threshold, resamples),
    )


def by_dataset(scores: Scores) -> Iterator[Group]:
    """Yield each dataset's rows."""
    column = _column(scores, DATASET)
    for dataset in dict.fromkeys(column):
        yield {"dataset": dataset}, column == dataset


def by_compression(scores: Scores) -> Iterator[Group]:
    """Yield the rows of each compression of each dataset."""
    column = _column(scores, COMPRESSION)
    for names, rows in by_dataset(scores):
        for compression in dict.fromkeys(column[rows]):
            yield {**names, "compression": compression}, rows & (column == compression)


def by_method(scores: Scores) -> Iterator[Group]:
    """Yield each method's fakes with the reals of the same dataset and compression."""
    column, real = _column(scores, METHOD), scores.labels == 0
    for names, rows in by_compression(scores):
        for method in dict.fromkeys(column[rows & ~real]):
            yield {**names, "method": method}, rows & (real | (column == method))


def _column(scores: Scores, place: int) -> np.ndarray:
    return np.array([key[place] for key in scores.keys], dtype=object)


def _rows(
    scores: Scores, groups: Callable[[Scores], Iterator[Group]], threshold: float, resamples: int
) -> tuple[GroupResult, ...]:
    rows = []
    for names, inside in groups(scores):
        part = scores.of(inside)
        real, fake = part.videos().counts()
        if real and fake:
            rows.append(GroupResult(names, "", **_measured(part, threshold, resamples)))
        else:
            missing = f"{real} real and {fake} fake videos: a comparison needs both"
            rows.append(GroupResult(names, missing, None, None, {}))
    return tuple(rows)


def _measured(scores: Scores, threshold: float, resamples: int) -> dict[str, Any]:
    """Both levels with the intervals of both; clips are resampled by the video."""
    intervals = report_intervals(
        scores.labels, scores.probabilities, scores.keys, threshold=threshold, resamples=resamples
    )
    videos = scores.videos()
    of_videos = report_intervals(
        videos.labels, videos.probabilities, threshold=threshold, resamples=resamples
    )
    return {
        "clip": known_numbers(scores.labels, scores.probabilities, threshold),
        "video": known_numbers(videos.labels, videos.probabilities, threshold),
        "intervals": {
            level: {name: list(interval) for name, interval in found.items()}
            for level, found in (("clip", intervals), ("video", of_videos))
        },
    }
