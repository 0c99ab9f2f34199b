"""Validation videos that the network gets wrong, epoch by epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from keras_ddl.data.video_index import CLASSES
from keras_ddl.edge.files import write_text
from keras_ddl.evaluation.hardest import read_lines
from keras_ddl.framework import keras
from keras_ddl.training.callbacks.validation import VideoAUC


class WrongVideos(keras.callbacks.Callback):
    """Log of a line of JSON per epoch: the videos on the wrong side of 0.5, the worst first.

    Args:
        path: The file. Lines of epochs that come again, after `--resume`, are replaced.
        validation: Stands before this and has the scores.
    """

    def __init__(self, path: Path, validation: VideoAUC) -> None:
        super().__init__()
        self._path, self._validation = path, validation

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scores = self._validation.videos
        if scores is None:
            return
        wrong = [
            {
                "video": "/".join(part for part in key if part),
                "label": CLASSES[label],
                "score": round(float(score), 4),
            }
            for key, label, score in zip(
                scores.keys, scores.labels, scores.probabilities, strict=True
            )
            if (score >= 0.5) != label
        ]
        wrong.sort(key=lambda video: -abs(video["score"] - 0.5))
        lines = [line for line in read_lines(self._path) if line["epoch"] <= epoch]
        lines.append({"epoch": epoch + 1, "wrong": wrong})
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in lines))
