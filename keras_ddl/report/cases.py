"""Worst cases: the videos that a threshold judges most wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from keras_ddl.data.prepared import Key
from keras_ddl.evaluation.score_sets import ScoredSet

CASES = 8
CLOSEST = 3


@dataclass(frozen=True)
class Case:
    """One video to look at.

    Args:
        part: The set it is in.
        key: Its key.
        label: 1 = fake.
        score: Its score, the mean of its clips' probabilities.
        clip: Number of the clip that speaks most for the wrong verdict.
        clip_score: That clip's probability of fake.
        wrongness: See `wrongness`.
        wrong: Whether the verdict is wrong.
    """

    part: ScoredSet
    key: Key
    label: int
    score: float
    clip: int
    clip_score: float
    wrongness: float
    wrong: bool


def wrongness(label: int, score: float, threshold: float) -> float:
    """How far a score lies on the wrong side: 0 at the threshold, 1 at the far end, right ones
    below 0 down to −1, whatever the threshold."""
    above = score - threshold
    share = above / (1 - threshold) if above > 0 else above / threshold
    return -share if label else share


def worst_cases(sets: Sequence[ScoredSet], threshold: float, count: int = CASES) -> list[Case]:
    """Return the most wrongly judged videos of all sets, worst first.

    Where no video is judged wrongly, the three that come closest to it.
    """
    cases = sorted(
        (case for part in sets for case in _cases(part, threshold)),
        key=lambda case: (-case.wrong, -case.wrongness, case.part.name, case.key),
    )
    wrong = [case for case in cases if case.wrong]
    return wrong[:count] if wrong else cases[: min(count, CLOSEST)]


def _cases(part: ScoredSet, threshold: float) -> Iterator[Case]:
    clips: dict[Key, list[int]] = {}
    for number, key in enumerate(part.scores.keys):
        clips.setdefault(key, []).append(number)
    videos = part.scores.videos()
    for key, label, score in zip(videos.keys, videos.labels, videos.probabilities, strict=True):
        found = part.scores.probabilities[clips[key]]
        worst = clips[key][int(np.argmin(found) if label else np.argmax(found))]
        yield Case(
            part=part,
            key=key,
            label=int(label),
            score=float(score),
            clip=worst,
            clip_score=float(part.scores.probabilities[worst]),
            wrongness=wrongness(int(label), float(score), threshold),
            wrong=bool((score >= threshold) != bool(label)),
        )
