"""False alarms: how many real videos are called fake at the threshold in use, by their source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_ddl.edge.metrics import wilson
from keras_ddl.evaluation.clip_scores import Scores


@dataclass(frozen=True)
class FalseAlarms:
    """Real videos called fake.

    Args:
        source: Where they come from; empty for all together.
        reals: How many real videos there are.
        called: How many of them score at or above the threshold.
        low, high: Wilson's interval of the share, 95 %.
    """

    source: str
    reals: int
    called: int
    low: float
    high: float

    @property
    def rate(self) -> float:
        """Share of the reals, in [0, 1]."""
        return self.called / self.reals


def false_alarms(
    scores: Scores, videos: Sequence[Mapping[str, Any]], threshold: float
) -> tuple[FalseAlarms, ...]:
    """Count reals that are called fake.

    Args:
        scores: One per video.
        videos: Rows of the split's index, which may say `source`.
        threshold: Probability at and above which a video is fake.

    Returns:
        All together, then a result per source where there are several, the worst first.
    """
    sources = {(*row["key"],): row.get("source", "") for row in videos}
    called: dict[str, list[bool]] = {}
    rows = zip(scores.keys, scores.labels.tolist(), scores.probabilities.tolist(), strict=True)
    for key, label, score in rows:
        if not label:
            called.setdefault(sources.get(key, ""), []).append(score >= threshold)
    if not called:
        return ()
    parts = [_counted(source, some) for source, some in called.items()]
    parts.sort(key=lambda part: (-part.rate, part.source))
    whole = _counted("", [one for some in called.values() for one in some])
    return (whole, *parts) if len(parts) > 1 else (whole,)


def _counted(source: str, called: Sequence[bool]) -> FalseAlarms:
    count = sum(called)
    return FalseAlarms(source, len(called), count, *wilson(count, len(called)))
