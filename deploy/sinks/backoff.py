"""How long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays that double from `first_s` up to `cap_s`, each shortened at random by up to a half.

    The jitter keeps a hundred devices from knocking at the same moment once their broker is back.

    Args:
        first_s: The first delay in seconds, before the jitter.
        cap_s: No delay is longer, in seconds.
        uniform: Numbers in [0, 1).

    Raises:
        ValueError: a delay is not above 0, or the cap is below the first.
    """

    def __init__(
        self,
        first_s: float = 1.0,
        cap_s: float = 60.0,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        if not 0 < first_s <= cap_s:
            raise ValueError(f"expected 0 < first_s <= cap_s, received {first_s!r}, {cap_s!r}")
        self._first_s = first_s
        self._cap_s = cap_s
        self._uniform = uniform
        self._next_s = first_s

    def next(self) -> float:
        """The delay before the next attempt, in seconds."""
        delay = self._next_s
        self._next_s = min(delay * 2, self._cap_s)
        return delay * (1 - self._uniform() / 2)

    def reset(self) -> None:
        """It worked: begin with the first delay again."""
        self._next_s = self._first_s
