"""What one step of one source gave, as every sink gets it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deploy.judging.records import Record, ScoredClip
from keras_ddl.edge.video import Frame


@dataclass(frozen=True)
class Output:
    """What one step of one source gave: any part may be empty.

    Attributes:
        records: JSON records in order.
        frame: The frame of this step.
        scored: Clips judged since the last output of this source.
        picture: The annotated frame, uint8 (H, W, 3) RGB; only drawn when a sink wants it.
        source: Name of the source, credentials hidden; every record carries it too.
    """

    records: tuple[Record, ...] = ()
    frame: Frame | None = None
    scored: tuple[ScoredClip, ...] = ()
    picture: np.ndarray | None = None
    source: str = ""
