"""What watches a training: video-level validation, the best weights, the modules' γ, one bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from keras_ddl.data.changes import SelfBlend
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.pseudo_fakes import with_pseudo_fakes
from keras_ddl.data.store import read_split
from keras_ddl.errors import CHECK_FAILED, UserError
from keras_ddl.evaluate import Scores, clip_logits, summary
from keras_ddl.framework import keras
from keras_ddl.layers import DFDC, MSA
from keras_ddl.optimiser import averaged_weights

AUC = "val_video_auc"
LOSS = "val_loss"


class VideoAUC(keras.callbacks.Callback):
    """Scores the validation clips after each epoch, at clip and at video level.

    Adds `val_loss`, `val_clip_auc`, `val_video_auc` and `val_video_accuracy` to the epoch's logs,
    in one pass over the clips. Stands before the callbacks that read them.

    Args:
        prepared: Folder of prepared clips.
        batch: Clips per step.
        split: The split to watch.
        pseudo: Judge on reals and fakes made of them.

    Raises:
        UserError: In training, when outputs or weights are not finite any more.
    """

    def __init__(
        self, prepared: Path, batch: int, split: str = "val", pseudo: SelfBlend | None = None
    ) -> None:
        super().__init__()
        self._clips = clip_dataset(prepared, split, batch, pseudo=pseudo)
        data = read_split(prepared, split)
        self._data = with_pseudo_fakes(data) if pseudo else data

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        logits = clip_logits(self.model, self._clips)
        # Weights too: NaN inside need not reach the outputs, for ReLU(NaN) is 0.
        if not all(np.isfinite(values).all() for values in (logits, *self.model.get_weights())):
            raise UserError(
                f"outputs or weights are not finite after epoch {epoch + 1}: training diverged; "
                "set a lower learning_rate",
                CHECK_FAILED,
            )
        scores = Scores.from_logits(self._data, logits)
        result = summary(scores, threshold=0.5)
        if logs is not None:
            logs[LOSS] = cross_entropy(logits, self._data.labels)
            logs["val_clip_auc"] = result["clip"]["auc"]
            logs[AUC] = result["video"]["auc"]
            logs["val_video_accuracy"] = result["video"]["accuracy"]


class BestWeights(keras.callbacks.Callback):
    """Keeps the weights of the epoch with the best video-level validation AUC.

    Ties go to the lower validation loss, then to the earlier epoch.

    Args:
        path: The weights file (`.h5`); holds the best so far at any time.

    Attributes:
        best_epoch: Number of the best epoch, from 1; 0 before the first.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._best = (-np.inf, -np.inf)
        self.best_epoch = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        rank = (logs[AUC], -logs[LOSS])
        if rank <= self._best:
            return
        self._best, self.best_epoch = rank, epoch + 1
        partial = self._path.with_name(f".{self._path.stem}.part{self._path.suffix}")
        self.model.save_weights(str(partial))
        partial.replace(self._path)


class AveragedWeights(keras.callbacks.Callback):
    """Puts the optimiser's averaged weights into the model while it is judged.

    Stands before the callbacks that judge and keep; its `back` stands behind them and gives the
    model the weights it goes on training with. Does nothing where the optimiser keeps no average.

    Attributes:
        back: The callback that undoes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[np.ndarray] = []
        self.back = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: self._restore())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        averages = averaged_weights(self.model)
        if averages is not None:
            weights = self.model.trainable_variables
            self._kept = [weight.numpy() for weight in weights]
            _assign(weights, averages)

    def _restore(self) -> None:
        if self._kept:
            _assign(self.model.trainable_variables, self._kept)
            self._kept = []


def _assign(weights: Any, values: Any) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


class GammaLog(keras.callbacks.Callback):
    """Adds the mean |γ| of the DFDC and of the MSA modules to the epoch's logs.

    γ starts at 0, where a module is the identity; its size tells whether training uses it.
    """

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = gammas(self.model)
        for kind in ("dfdc", "msa"):
            sizes = [abs(v) for name, v in values.items() if name.startswith(f"{kind}:")]
            if sizes and logs is not None:
                logs[f"gamma_{kind}"] = float(np.mean(sizes))


class TrainingBar(keras.callbacks.Callback):
    """One progress bar over all steps, and a line for each epoch above it."""

    def __init__(self, epochs: int, show: bool = True) -> None:
        super().__init__()
        self._epochs = epochs
        self._show = show
        self._bar: tqdm | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        total = self._epochs * self.params["steps"]
        self._bar = tqdm(
            total=total, desc="training", unit="step", disable=not self._show, dynamic_ncols=True
        )

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._bar.update()
        if logs:
            self._bar.set_postfix(loss=f"{logs['loss']:.3f}", refresh=False)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._show:
            self._bar.write(
                f"epoch {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}  "
                f"loss {logs['loss']:.3f}  val loss {logs[LOSS]:.3f}  "
                f"val clip AUC {logs['val_clip_auc']:.3f}  val video AUC {logs[AUC]:.3f}"
            )

    def close(self) -> None:
        """Finish the bar, however the training ended."""
        if self._bar is not None:
            self._bar.close()


def gammas(model: keras.Model) -> dict[str, float]:
    """Return γ of every module, in the network's order, as `dfdc:<layer>` or `msa:<layer>`."""
    found = {}
    for layer in model.submodules:
        for kind, cls in (("dfdc", DFDC), ("msa", MSA)):
            if isinstance(layer, cls):
                found[f"{kind}:{layer.name}"] = float(np.ravel(layer.gamma.numpy())[0])
    return found


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean cross-entropy of logits (N, 2) against labels (N,)."""
    top = logits.max(axis=1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
    return float(np.mean(log_sum - logits[np.arange(len(labels)), labels]))
