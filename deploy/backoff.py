"""Exponential backoff with jitter: how long to wait before the next attempt."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Waits that double up to a cap, each shortened at random by up to a half.

    The jitter keeps a hundred devices from knocking at the same moment once their broker is back,
    and cameras that were lost together from coming back in step.

    Args:
        first_s: The first wait in seconds, before the jitter.
        cap_s: No wait is longer, in seconds.
        uniform: Numbers in [0, 1).

    Raises:
        ValueError: a wait is not above 0, or the cap is below the first.
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

    def next_s(self) -> float:
        """Return the seconds to wait now; the next wait will be longer."""
        wait_s = self._next_s
        self._next_s = min(wait_s * 2, self._cap_s)
        return wait_s * (1 - self._uniform() / 2)

    def reset(self) -> None:
        """Begin with the first wait again, after a success."""
        self._next_s = self._first_s
