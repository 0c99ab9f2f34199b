"""A connection to a camera or stream, from its opening to its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Shot:
    """A picture as it came.

    Attributes:
        image: uint8 (H, W, 3) RGB.
        pts_ms: Its time in milliseconds of the stream's own clock; None where it carries none.
        decode_s: Seconds that decoding it took.
        damaged: Whether it, or what it was predicted from, lost data on the way.
    """

    image: np.ndarray
    pts_ms: float | None = None
    decode_s: float = 0.0
    damaged: bool = False


class Connection(Protocol):
    """An open camera or stream. One thread opens, reads and closes it.

    Attributes:
        fps: Nominal frames per second.
        paced: It delivers faster than it plays: pictures are held back until they are due.
        ends: It is a recording: its end is no loss.
    """

    fps: float
    paced: bool
    ends: bool

    def shots(self, drop: Callable[[str], None]) -> Iterator[Shot]:
        """Yield pictures, blocking, until the stream ends.

        Args:
            drop: Called with a cause for each picture that is left out, such as "corrupted".

        Raises:
            UserError: the connection was lost; exit code 3.
        """

    def close(self) -> None:
        """Release it."""
