"""`Scores`: what a model says about each clip of a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.data.prepared import Key, PreparedSplit
from keras_ddl.edge.metrics import report, video_scores
from keras_ddl.evaluation.calibration import margins_from_logits, probabilities_from_margins

if TYPE_CHECKING:
    from keras_ddl.framework import keras, tf

TOPK = 3


@dataclass(frozen=True)
class Scores:
    """What a model says about each clip, or about each video.

    Args:
        keys: Per clip its video's key (dataset, method, compression, video id).
        labels: int32, (N,), 1 = fake.
        probabilities: float64, (N,), of fake, in [0, 1].
    """

    keys: tuple[Key, ...]
    labels: np.ndarray
    probabilities: np.ndarray

    @classmethod
    def from_logits(
        cls, data: PreparedSplit, logits: np.ndarray, temperature: float = 1.0
    ) -> Scores:
        """Take logits (N, 2) of a split's clips, in the order of its index."""
        margins = margins_from_logits(logits)
        return cls(data.keys, data.labels, probabilities_from_margins(margins, temperature))

    def videos(self, how: str = "mean") -> Scores:
        """Return one score per video: the mean of its clips' probabilities.

        Args:
            how: Another way, see `metrics.video_scores`; "topk" takes the 3 highest.
        """
        videos = video_scores(self.keys, self.labels, self.probabilities, how=how, topk=TOPK)
        return Scores(tuple(videos.keys), videos.labels, videos.scores)  # type: ignore[arg-type]

    def of(self, rows: np.ndarray) -> Scores:
        """Return the rows where a mask, bool (N,), is true."""
        keys = tuple(key for key, inside in zip(self.keys, rows, strict=True) if inside)
        return Scores(keys, self.labels[rows], self.probabilities[rows])

    def counts(self) -> tuple[int, int]:
        """Return how many are real and how many fake."""
        fake = int(self.labels.sum())
        return len(self.labels) - fake, fake


def clip_logits(model: keras.Model, clips: tf.data.Dataset) -> np.ndarray:
    """Return the logits, float32 (N, 2), of a dataset's clips in its order."""
    batches = [model.predict_on_batch(clip) for clip, _ in clips]
    return np.concatenate(batches).astype(np.float32)


def summary(scores: Scores, threshold: float) -> dict[str, dict[str, Any]]:
    """Return `metrics.report` at `clip` and `video` level.

    Raises:
        ValueError: If there is only one class.
    """
    levels = {"clip": scores, "video": scores.videos()}
    return {
        level: report(part.labels, part.probabilities, threshold) for level, part in levels.items()
    }
