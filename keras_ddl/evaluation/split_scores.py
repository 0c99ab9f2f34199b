"""Scores of a split of prepared clips by a network."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.data.prepared import PreparedSplit, read_split
from keras_ddl.data.pseudo_fakes.rows import judging_mode, with_pseudo_fakes
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.evaluation.clip_scores import Scores, clip_logits, summary

if TYPE_CHECKING:
    from keras_ddl.framework import keras

BATCH = 16


def score_split(
    model: keras.Model,
    spec: ClipSpec,
    prepared: Path,
    split: str = "test",
    pseudo: str = "",
) -> tuple[Scores, dict[str, Any]]:
    """Score a split of prepared clips.

    Args:
        model: The network.
        spec: Gives threshold and temperature.
        prepared: Folder of prepared clips.
        split: `train`, `val` or `test`.
        pseudo: In which mode the model learnt from pseudo-fakes; where the split has no fakes of
            its own, reals and fakes made of them are scored.

    Returns:
        The clips' scores, and the results: clip and video level, threshold, and what became of
        the videos (those without a clip have no score and are counted as such).

    Raises:
        UserError: If the split is of one class only.
    """
    need_both_classes(prepared, split, pseudo)
    data, logits = split_logits(model, prepared, split, pseudo)
    scores = Scores.from_logits(data, logits, spec.temperature)
    result = summary(scores, spec.threshold)
    return scores, {"split": split, "threshold": spec.threshold, **result, "videos": fates(data)}


def judged_classes(prepared: Path, split: str, pseudo: str = "") -> tuple[int, int]:
    """Return how many real and how many fake clips of a split are judged; nothing is decoded."""
    data = read_split(prepared, split)
    labels = with_pseudo_fakes(data).data.labels if judging_mode(data, pseudo) else data.labels
    fake = int(labels.sum())
    return len(labels) - fake, fake


def need_both_classes(prepared: Path, split: str, pseudo: str = "") -> None:
    """Refuse a split of one class, before the network has any work with it.

    Raises:
        UserError: naming the counts.
    """
    real, fake = judged_classes(prepared, split, pseudo)
    if not (real and fake):
        raise UserError(
            f"{prepared}, {split}: expected clips of both classes, received {fake} fake and {real} "
            "real; add the missing class and prepare the videos again"
        )


def split_logits(
    model: keras.Model, prepared: Path, split: str, pseudo: str = ""
) -> tuple[PreparedSplit, np.ndarray]:
    """Return a split and its clips' logits ``(N, 2)``; `pseudo` as for `score_split`."""
    data = read_split(prepared, split)
    mode = judging_mode(data, pseudo)
    logits = clip_logits(model, clip_dataset(prepared, split, BATCH, pseudo=mode))
    return with_pseudo_fakes(data).data if mode else data, logits


def fates(data: PreparedSplit) -> dict[str, int]:
    """Return how many of a split's videos have each status."""
    return dict(Counter(video["status"] for video in data.videos))
