"""The interface of a sink."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractContextManager

from deploy.judging.output import Output

__all__ = ["Output", "Sink"]


class Sink(AbstractContextManager["Sink"]):
    """A taker of outputs in order until it is closed; closing twice is allowed.

    A run calls `open` before its first frame and on its own thread; `write` and `close` come from
    one thread that belongs to this sink alone, so a sink may take its time: others do not wait for
    it. What `write` raises is logged and counted, and the sink gets the next output all the same.

    Attributes:
        name: One word for logs and metrics.
    """

    name = "sink"

    @property
    def wants_picture(self) -> bool:
        """Whether annotated frames are of use just now; asked before each frame."""
        return False

    @property
    def missing(self) -> str:
        """What it could not take so far and why, in a few words; "" where it took everything."""
        return ""

    def open(self) -> None:
        """Check what can be checked before the run.

        Raises:
            UserError: it can never work as it was asked for.
        """
        return None

    @abstractmethod
    def write(self, output: Output) -> None:
        """Take what concerns this sink."""

    def close(self) -> None:
        """Finish what was written, so that it can be used; within about a second."""
        return None

    def __exit__(self, *_: object) -> None:
        self.close()
