"""Float, rounded, fine-tuned: the same clips, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_ddl.edge.metrics import accuracy, auc
from keras_ddl.evaluation.calibration import ece
from keras_ddl.evaluation.clip_scores import Scores

RESAMPLES = 1000


def compare(scores: Mapping[str, Scores], threshold: float) -> list[dict[str, Any]]:
    """Compare networks on the same clips with the first of them.

    Args:
        scores: Name → scores of the same clips in the same order; the first is the reference.
        threshold: Probability at and above which something is fake.

    Returns:
        A row per network: `name`, video `auc` and `accuracy`, clip `ece`; against the first:
        `auc_change` with its 95 % interval over videos, `flips` (clips whose verdict changed) and
        `flipped_videos`, `largest` and `mean` |Δ probability| of clips.
    """
    reference = next(iter(scores.values()))
    videos = {name: part.videos() for name, part in scores.items()}
    base = next(iter(videos.values()))
    rows = []
    for name, part in scores.items():
        mine = videos[name]
        change = np.abs(part.probabilities - reference.probabilities)
        flipped = (part.probabilities >= threshold) != (reference.probabilities >= threshold)
        flipped_videos = (mine.probabilities >= threshold) != (base.probabilities >= threshold)
        rows.append(
            {
                "name": name,
                "auc": auc(mine.labels, mine.probabilities),
                "accuracy": accuracy(mine.labels, mine.probabilities, threshold),
                "ece": ece(part.labels, part.probabilities),
                "auc_change": auc(mine.labels, mine.probabilities)
                - auc(base.labels, base.probabilities),
                "auc_change_interval": auc_change_interval(
                    base.labels, base.probabilities, mine.probabilities
                ),
                "flips": int(flipped.sum()),
                "flipped_videos": int(flipped_videos.sum()),
                "largest": float(change.max()),
                "mean": float(change.mean()),
            }
        )
    return rows


def auc_change_interval(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[float, float]:
    """The 95 % interval of AUC(after) − AUC(before), videos drawn anew, each class by itself.

    Args:
        labels: int (N,), 1 = fake.
        before, after: (N,), scores of the same videos.
    """
    random = np.random.default_rng(0)
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    changes = []
    for _ in range(RESAMPLES):
        drawn = np.concatenate([random.choice(rows, len(rows)) for rows in classes])
        changes.append(auc(labels[drawn], after[drawn]) - auc(labels[drawn], before[drawn]))
    low, high = np.quantile(changes, (0.025, 0.975))
    return float(low), float(high)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text."""
    head = (
        "network   video AUC  change [95 % interval]     ACC     ECE  flips clips/videos  max |Δp|"
    )
    lines = [head]
    for row in rows:
        low, high = row["auc_change_interval"]
        change = f"{row['auc_change']:+.4f} [{low:+.4f}, {high:+.4f}]"
        lines.append(
            f"{row['name']:<8} {row['auc']:>10.4f}  {change:<26} {row['accuracy']:.4f}  "
            f"{row['ece']:.4f}  {row['flips']:>5} / {row['flipped_videos']:<10} "
            f"{row['largest']:>8.1e}"
        )
    return "\n".join(lines)
