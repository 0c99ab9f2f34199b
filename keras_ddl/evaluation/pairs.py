"""Paired accuracy: how often a fake scores higher than the very video it was made from.

Scene, person, camera and compression are the same in both, so that nothing but the forgery can
tell them apart; a set of fakes from one source and reals from another has no such guard.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_ddl.edge.metrics import wilson
from keras_ddl.evaluation.clip_scores import Scores


@dataclass(frozen=True)
class PairedResult:
    """Results of the fakes whose original was scored too.

    Args:
        method: Of the fakes; empty for all together.
        pairs: How many.
        higher: How often the fake scores higher; a tie counts half.
        low, high: Wilson's interval of the share, 95 %.
    """

    method: str
    pairs: int
    higher: float
    low: float
    high: float

    @property
    def accuracy(self) -> float:
        """Share of the pairs in which the fake scores higher, in [0, 1]."""
        return self.higher / self.pairs


def paired(scores: Scores, videos: Sequence[Mapping[str, Any]]) -> tuple[PairedResult, ...]:
    """Compare fakes with their originals.

    Args:
        scores: One per video.
        videos: Rows of the split's index; a fake's says `original`.

    Returns:
        One result per method, and before them all together where there are several; none where no
        original is known.
    """
    found = dict(zip(scores.keys, scores.probabilities.tolist(), strict=True))
    wins: dict[str, list[float]] = {}
    for row in videos:
        dataset, method, compression, _ = key = (*row["key"],)
        other = (dataset, "real", compression, row.get("original", ""))
        if key in found and other in found and row["label"]:
            score, against = found[key], found[other]
            wins.setdefault(method, []).append(0.5 if score == against else score > against)
    if len(wins) > 1:
        wins = {"": [win for some in wins.values() for win in some], **wins}
    return tuple(_result(method, some) for method, some in wins.items())


def _result(method: str, wins: Sequence[float]) -> PairedResult:
    count, higher = len(wins), float(sum(wins))
    return PairedResult(method, count, higher, *wilson(higher, count))
