"""A source's health, kept while it runs."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from deploy.sources.base import Health


class Pulse:
    """Holds a `Health` that one thread changes and any thread reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._health = Health()
        self._dropped: dict[str, int] = {}

    def update(self, **changes: Any) -> None:
        """Replace fields of the health."""
        with self._lock:
            self._health = dataclasses.replace(self._health, **changes)

    def frame(self, image: np.ndarray) -> None:
        """Count a frame that was read, uint8 (H, W, 3)."""
        size = (image.shape[1], image.shape[0])
        with self._lock:
            frames = self._health.frames + 1
            self._health = dataclasses.replace(self._health, frames=frames, size=size)

    def drop(self, cause: str) -> None:
        """Count a frame that was thrown away."""
        with self._lock:
            self._dropped[cause] = self._dropped.get(cause, 0) + 1

    def read(self, dropped: Mapping[str, int] | None = None) -> Health:
        """Return the health, with drops that were counted elsewhere added."""
        with self._lock:
            counts = {**self._dropped, **(dropped or {})}
            return dataclasses.replace(self._health, dropped=counts)
