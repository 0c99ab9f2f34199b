"""Which validation videos the network gets wrong, epoch by epoch."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from keras_ddl.files import write_text
from keras_ddl.framework import keras
from keras_ddl.training.validation import VideoAUC

WRONG_VIDEOS = "wrong_videos.jsonl"
_CLASSES = ("real", "fake")


class WrongVideos(keras.callbacks.Callback):
    """Writes a line of JSON per epoch: the videos on the wrong side of 0.5, the worst first.

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
                "label": _CLASSES[label],
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


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the epochs of such a file; none where it is not there."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def hardest(path: Path, count: int = 5) -> list[tuple[str, int]]:
    """Return the videos that were wrong in most epochs, with their number."""
    times: Counter[str] = Counter()
    for line in read_lines(path):
        times.update(video["video"] for video in line["wrong"])
    return times.most_common(count)
