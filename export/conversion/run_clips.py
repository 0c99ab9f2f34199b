"""Clips of a run's own prepared data, of both classes, to compare an export or choose ranges on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from export.parity.clips import ParityClips
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import MISSING, UserError

COUNT = 64
NAMES = {"train": "training", "val": "validation"}


def balanced(labels: np.ndarray, count: int) -> np.ndarray:
    """Numbers of up to `count` clips, evenly spread, as many of each class as there are.

    Args:
        labels: ``(N,)``, 0 and 1.
        count: How many to take, at least 2.
    """
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    share = max(1, count // max(1, len(classes)))
    chosen = [
        numbers[np.linspace(0, len(numbers) - 1, min(share, len(numbers))).astype(int)]
        for numbers in classes
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, int)


def run_clips(data: Mapping[str, Any], spec: ClipSpec, split: str) -> ParityClips:
    """A run's own clips, as many of each class as there are, else noise of a fixed seed.

    Args:
        data: `data` of the run's configuration.
        spec: The run's contract.
        split: "val" to compare on, "train" to choose ranges from.

    Raises:
        UserError: training clips are asked for and not there (3).
    """
    from keras_ddl.data.prepared import read_split
    from keras_ddl.data.shards.stored_set import prepared_here

    prepared = data.get("prepared", "")
    if prepared and prepared_here(prepared).is_dir():
        found = read_split(prepared_here(prepared), split)
        chosen = balanced(found.labels, COUNT)
        clips, labels = np.ascontiguousarray(found.clips[chosen]), found.labels[chosen]
        fakes = int(np.sum(labels == 1))
        words = f"{NAMES[split]} clips, {len(labels) - fakes} real and {fakes} fake"
        return ParityClips(clips, labels, words)
    if split != "val":
        raise UserError(
            f"ranges are chosen from training clips, expected them at '{prepared}', found none: "
            "prepare the data again",
            MISSING,
        )
    shape = (COUNT, spec.frames, spec.size, spec.size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return ParityClips(noise, None, "noise clips (no prepared data)")
