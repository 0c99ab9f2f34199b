"""Clips to compare an export on: of both classes, with their labels, where the data is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from export.calibration_clips import balanced
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import MISSING, UserError

COUNT = 32
NAMES = {"train": "training", "val": "validation"}


@dataclass(frozen=True)
class ParityClips:
    """Clips and what they are.

    Attributes:
        clips: uint8 ``(N, T, S, S, 3)``.
        labels: ``(N,)``, 1 = fake; None for noise.
        origin: Where they come from, in words.
    """

    clips: np.ndarray
    labels: np.ndarray | None
    origin: str

    def few(self, first: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Two clips and their labels: one by its number, and one of the other class if there is."""
        others = np.arange(len(self.clips)) != first
        if self.labels is not None and np.any(self.labels != self.labels[first]):
            others = self.labels != self.labels[first]
        chosen = [first, *np.flatnonzero(others)[:1]]
        return self.clips[chosen], None if self.labels is None else self.labels[chosen]


def parity_clips(
    data: Mapping[str, Any], spec: ClipSpec, split: str = "val", count: int = COUNT
) -> ParityClips:
    """A run's own clips, as many of each class as there are, else noise of a fixed seed.

    Args:
        data: `data` of the run's configuration.
        spec: The run's contract.
        split: "val" to compare on, "train" to choose ranges from.
        count: How many.

    Raises:
        UserError: training clips are asked for and not there (3).
    """
    from keras_ddl.data.prepared import read_split

    prepared = data.get("prepared", "")
    if prepared and Path(prepared).is_dir():
        found = read_split(Path(prepared), split)
        chosen = balanced(found.labels, count)
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
    shape = (count, spec.frames, spec.size, spec.size, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return ParityClips(noise, None, "noise clips (no prepared data)")
