"""Backbone, as the model builder takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from keras_ddl.networks.stage_names import found_name


@dataclass(frozen=True)
class Backbone:
    """A frame network and what the builder must know about it.

    Attributes:
        cnn: Functional model ``(N, size, size, 3)`` scaled frames → ``(N, h, w, C)`` features.
        stages: Stage name → layer whose output the modules follow, from input to output.
        scale, offset: ``frame = uint8 · scale + offset`` is what `cnn` expects.
    """

    cnn: Any
    stages: Mapping[str, str]
    scale: float = 1 / 255
    offset: float = 0.0


def ended_at(backbone: Backbone, last: str) -> Backbone:
    """The backbone up to a stage, of the same layers; empty is all of it.

    Raises:
        ValueError: It has no such stage.
    """
    if not last:
        return backbone
    from keras_ddl.framework import keras

    names, cnn = list(backbone.stages), backbone.cnn
    stage = found_name(last, names)
    if stage is None:
        raise ValueError(f"last must be one of {', '.join(names)}, or empty; got {last}")
    stages = {name: backbone.stages[name] for name in names[: names.index(stage) + 1]}
    shorter = keras.Model(cnn.input, cnn.get_layer(stages[stage]).output, name=cnn.name)
    return replace(backbone, cnn=shorter, stages=stages)


def require_size(network: str, size: int, least: int = 32) -> None:
    """Raise ValueError unless the frames' side in pixels is what the network needs."""
    if size < least:
        raise ValueError(f"{network} needs a size of at least {least}; got {size}")


def scaled(channels: int, width: float) -> int:
    """Channels times width, rounded to a multiple of 8, at least 8."""
    return max(8, round(channels * width / 8) * 8)
