"""How long to wait before the next attempt."""

from __future__ import annotations

import random

FIRST_S = 0.5
CAP_S = 30.0


class Backoff:
    """Waits that double from attempt to attempt, with jitter, up to a cap.

    Each wait lies between half its nominal length and all of it, at random, so that cameras that
    were lost together do not come back in step.

    Args:
        first_s: Nominal first wait in seconds.
        cap_s: Longest wait in seconds.
        rng: Where the jitter comes from; seeded in tests.
    """

    def __init__(
        self, first_s: float = FIRST_S, cap_s: float = CAP_S, rng: random.Random | None = None
    ) -> None:
        if not 0.0 < first_s <= cap_s:
            raise ValueError(f"expected 0 < first_s <= cap_s, received {first_s} and {cap_s}")
        self._first_s = first_s
        self._cap_s = cap_s
        self._nominal_s = first_s
        self._rng = rng or random.Random()  # jitter, no secret

    def next_s(self) -> float:
        """Return the seconds to wait now; the next wait will be longer."""
        nominal_s = self._nominal_s
        self._nominal_s = min(self._cap_s, 2.0 * nominal_s)
        return nominal_s * (0.5 + 0.5 * self._rng.random())

    def reset(self) -> None:
        """Start over: the last connection was a good one."""
        self._nominal_s = self._first_s
