"""`Method`: what the rest of the project must know about a comparison method."""

from __future__ import annotations

from dataclasses import dataclass

from keras_ddl.presets import Preset


@dataclass(frozen=True)
class Method:
    """A comparison method of the zoo.

    Args:
        title: What tables and figures call it.
        row: Its row in the paper's tables, see `report.paper`; empty where it has none.
        temporal: Whether it looks at the frames of a clip together; of the others the frames'
            predictions are averaged, by `layers.FramesMean`.
        preset: Its own training and, with `TrainConfig.spec`, its own clip.
    """

    title: str
    row: str
    temporal: bool
    preset: Preset
