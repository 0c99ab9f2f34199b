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
    """
    data, logits = split_logits(model, prepared, split, pseudo)
    scores = Scores.from_logits(data, logits, spec.temperature)
    try:
        result = summary(scores, spec.threshold)
    except ValueError as error:
        raise UserError(f"{prepared}, {split}: {error}") from error
    return scores, {"split": split, "threshold": spec.threshold, **result, "videos": fates(data)}


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
