"""`Method`: what the rest of the project must know about a comparison method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Method:
    """A comparison method of the zoo.

    Args:
        title: What tables and figures call it.
        temporal: Whether it looks at the frames of a clip together; of the others the frames'
            predictions are averaged, by `layers.FramesMean`.
        source: Where its own training comes from.
        values: Its own training and, with `TrainConfig.spec`, its own clip: the keys of
            `TrainConfig` that differ from the defaults, as in a `Preset`.
        row: Its row in the paper's tables, see `report.paper`; default: its title.
    """

    title: str
    temporal: bool
    source: str
    values: Mapping[str, Any]
    row: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "row", self.row or self.title)
