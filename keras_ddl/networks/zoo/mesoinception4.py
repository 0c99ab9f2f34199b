"""MesoInception4, frame by frame: Meso4 with two inception blocks at its start.

Source: Afchar et al., "MesoNet: a Compact Facial Video Forgery Detection Network", WIFS 2018, and
DariusAf/MesoNet: 256 px, RGB in [0, 1], Adam at 1e-3, 28,725 parameters, of which 110 are
statistics of batch norm. The authors' weights become a run with ``python -m
keras_ddl.import_mesonet``.

Original and our choice: see `meso4`.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.meso_parts import (
    SOURCE,
    TRAINING,
    Stage,
    convolution,
    meso_network,
)

BRANCHES = ((1, 4, 4, 2), (2, 4, 4, 2))  # channels of the two blocks' branches

METHOD = Method(
    title="MesoInception4",
    row="MesoNet",
    temporal=False,
    source=SOURCE,
    values=TRAINING,
)


def build(size: int = 256, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average; size at least 32.

    Its weights are one of the authors' files, which are for 256 px and width 1.
    """
    first = [_inception(branches, width) for branches in BRANCHES]
    return meso_network("mesoinception4", first, size, frames, weights, width)


def _inception(branches: tuple[int, ...], width: float) -> Stage:
    """1×1 alone, and 1×1 before 3×3 at dilation 1, 2 and 3, side by side."""
    alone, *pairs = branches

    def stage(x: Any, name: str) -> Any:
        found = [convolution(alone, 1, width)(x, f"{name}_branch1")]
        for dilation, channels in enumerate(pairs, 1):
            branch = f"{name}_branch{dilation + 1}"
            y = convolution(channels, 1, width)(x, f"{branch}_pointwise")
            found.append(convolution(channels, 3, width, dilation)(y, branch))
        return keras.layers.Concatenate(name=name)(found)

    return stage
