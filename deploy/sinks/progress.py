"""A progress bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deploy.sinks.base import Output, Sink


class Progress(Sink):
    """A bar on stderr for sources that end; silent without tqdm or without a terminal."""

    name = "progress"

    def __init__(self, total: Callable[[], int | None]) -> None:
        self._total = total
        self._bar: Any = None

    def write(self, output: Output) -> None:
        """Count the frame."""
        if output.frame is None:
            return
        if self._bar is None:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=self._total(), unit="frame", disable=None, leave=False)
        if self._bar.total is None:  # several sources open one after the other
            self._bar.total = self._total()
        self._bar.update(1)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
