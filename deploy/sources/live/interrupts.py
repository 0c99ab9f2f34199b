"""Interruption of a network wait of PyAV at once, instead of after its timeout."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

FAR_S = 1e6  # further than any timeout

_asked: dict[int, Callable[[], bool]] = {}  # by thread


@contextmanager
def ended_by(asked: Callable[[], bool]) -> Iterator[None]:
    """Let FFmpeg return with an error, within 0.1 s, once `asked` says so; on this thread.

    Args:
        asked: Cheap, and takes no lock.
    """
    thread = threading.get_ident()
    _asked[thread] = asked
    try:
        yield
    finally:
        del _asked[thread]


def make_interruptible() -> None:
    """Put a clock into PyAV that can say that time is up.

    While FFmpeg waits it asks PyAV ten times a second whether to go on, and PyAV looks at
    `time.monotonic` to see whether its timeout has passed; there is no other way to tell it. A
    thread that is left waiting at the end of the process is more than untidy: that question needs
    an interpreter, and without one it crashes (seen once in twenty ends, with PyAV 18.1).

    Where PyAV should not keep its clock there any more, waits end with their timeout.
    """
    import av.container.core as core

    if getattr(core, "time", None) is time:
        setattr(core, "time", _Clock())  # noqa: B010  (a compiled module: no such name for types)


class _Clock:
    """The module `time`, whose clock leaps at each look on a thread that is to end."""

    def __init__(self) -> None:
        self._leaps = itertools.count(1)

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        asked = _asked.get(threading.get_ident())
        now = time.monotonic()
        return now + FAR_S * next(self._leaps) if asked is not None and asked() else now

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)
