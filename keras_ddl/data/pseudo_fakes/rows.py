"""Rows of a split with pseudo-fakes: which stored clip each is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_ddl.data.prepared import PreparedSplit, StoredClips

METHOD = "pseudo"


@dataclass(frozen=True)
class WithPseudoFakes:
    """A split with pseudo-fakes among its rows.

    Args:
        data: The rows.
        source: int64, (N,): number of the stored clip that a row is made of.
        made: bool, (N,): whether a row is a pseudo-fake.
    """

    data: PreparedSplit
    source: np.ndarray
    made: np.ndarray


def with_pseudo_fakes(data: PreparedSplit, mode: str = "only") -> WithPseudoFakes:
    """The rows of a split's reals, each followed by the row of its pseudo-fake.

    The pixels of fakes are made when they are read: `clip_dataset(pseudo=…)`.

    Args:
        data: A split of a prepared folder.
        mode: One of `MODES`: `mixed` keeps the split's own fakes.
    """
    rows, source, made = [], [], []
    for number, row in enumerate(data.rows):
        if row["label"] == 0 or mode == "mixed":
            rows.append(row)
            source.append(number)
            made.append(False)
        if row["label"] == 0:
            rows.append({**row, "key": _key(row["key"]), "label": 1})
            source.append(number)
            made.append(True)
    kept = [video for video in data.videos if video["label"] == 0 or mode == "mixed"]
    reals = [video for video in data.videos if video["label"] == 0]
    fakes = [{**video, "key": _key(video["key"]), "label": 1} for video in reals]
    split = PreparedSplit(
        clips=StoredClips(data.clips.shards, tuple(rows), data.clips.shape[1:]),
        labels=np.array([row["label"] for row in rows], np.int32),
        keys=tuple((*row["key"],) for row in rows),
        rows=tuple(rows),
        videos=(*kept, *fakes),
    )
    return WithPseudoFakes(split, np.array(source), np.array(made))


def judging_mode(data: PreparedSplit, pseudo: str) -> str:
    """How a model that learnt in this mode is judged: by real fakes where there are any."""
    return "only" if pseudo and not data.labels.any() else ""


def _key(key: list[str]) -> list[str]:
    return [key[0], METHOD, *key[2:]]
