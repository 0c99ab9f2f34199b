"""Hard-example mining: the training videos that the network judges worst, after every epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.config import TrainConfig
from keras_ddl.data.pipeline import TrainingClips, clip_dataset
from keras_ddl.framework import keras
from keras_ddl.training.callbacks.progress import Progress
from keras_ddl.training.devices import Devices

HARD = 0.25  # of the videos
VIDEOS = 512  # at most are judged, drawn anew after each epoch


class HardVideos(keras.callbacks.Callback):
    """Judgement of one clip of every training video, and note of the worst quarter of them.

    What it notes is part of the progress, so that an interrupted training goes on with it. Stands
    where the weights are those that are judged.

    Args:
        config: What is trained.
        prepared: Folder of prepared clips.
        clips: What is learnt from.
        devices: That share the clips.
        progress: Is told the hard videos.
    """

    def __init__(
        self,
        config: TrainConfig,
        prepared: Path,
        clips: TrainingClips,
        devices: Devices,
        progress: Progress,
    ) -> None:
        super().__init__()
        self._config, self._prepared, self._devices = config, prepared, devices
        self._data, self._progress = clips.data, progress

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        random = np.random.default_rng((self._config.seed, epoch, 2))
        clips_of: dict[Any, list[int]] = {}
        for number, key in enumerate(self._data.keys):
            clips_of.setdefault(key, []).append(number)
        keys = list(clips_of)
        if len(keys) > VIDEOS:
            keys = [keys[i] for i in sorted(random.choice(len(keys), VIDEOS, replace=False))]
        chosen = [int(random.choice(clips_of[key])) for key in keys]
        config = self._config
        clips = clip_dataset(
            self._prepared,
            "train",
            config.batch,
            pseudo=config.pseudo_fakes,
            single=config.single_frames,
            only=chosen,
        )
        logits = self._devices.scorer(self.model, clips, config.batch, len(chosen))()
        wrong = np.where(self._data.labels[chosen] == 1, -1, 1) * (logits[:, 1] - logits[:, 0])
        worst = np.argsort(-wrong, kind="stable")[: max(1, round(HARD * len(keys)))]
        self._progress.hard = [list(keys[number]) for number in worst]
