"""Validation at video level after every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.config import TrainConfig
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepared import read_split
from keras_ddl.data.pseudo_fakes.rows import judging_mode, with_pseudo_fakes
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.evaluation.clip_scores import Scores, summary
from keras_ddl.framework import keras
from keras_ddl.training.devices import Devices, Scorer

AUC = "val_video_auc"
LOSS = "val_loss"


class VideoAUC(keras.callbacks.Callback):
    """Scores of the validation clips after each epoch, at clip and at video level.

    Adds `val_loss`, `val_clip_auc`, `val_video_auc` and `val_video_accuracy` to the epoch's logs,
    in one pass over the clips, shared by all devices. Where the network learns from single frames,
    it is judged by one of each clip. Stands before the callbacks that read them.

    Args:
        config: What is trained: its batch, and whether fakes are made of reals.
        prepared: Folder of prepared clips.
        devices: That share the clips.

    Attributes:
        videos: The videos' scores after the last epoch.

    Raises:
        UserError: In training, when outputs or weights are not finite any more.
    """

    def __init__(self, config: TrainConfig, prepared: Path, devices: Devices) -> None:
        super().__init__()
        self._devices, self._batch = devices, config.batch
        data = read_split(prepared, "val")
        mode = judging_mode(data, config.pseudo_fakes)
        single = config.single_frames
        self._clips = clip_dataset(prepared, "val", config.batch, pseudo=mode, single=single)
        self._data = with_pseudo_fakes(data).data if mode else data
        self._scorer: Scorer | None = None
        self.videos: Scores | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._scorer is None:
            count = len(self._data.labels)
            self._scorer = self._devices.scorer(self.model, self._clips, self._batch, count)
        logits = self._scorer()
        # Weights too: NaN inside need not reach the outputs, for ReLU(NaN) is 0.
        if not all(np.isfinite(values).all() for values in (logits, *self.model.get_weights())):
            raise UserError(
                f"outputs or weights are not finite after epoch {epoch + 1}: training diverged; "
                "set a lower learning_rate",
                CHECK_FAILED,
            )
        scores = Scores.from_logits(self._data, logits)
        self.videos = scores.videos()
        result = summary(scores, threshold=0.5)
        if logs is not None:
            logs[LOSS] = cross_entropy(logits, self._data.labels)
            logs["val_clip_auc"] = result["clip"]["auc"]
            logs[AUC] = result["video"]["auc"]
            logs["val_video_accuracy"] = result["video"]["accuracy"]


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy of logits (N, 2) against labels (N,)."""
    top = logits.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return float(np.mean(log_sum - logits[np.arange(len(labels)), labels]))
