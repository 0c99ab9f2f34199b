"""The control of a run from outside: by MQTT, by the dashboard, by a signal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from deploy.sources.base import Health, State

VERDICTS = ("FAKE", "UNCERTAIN", "REAL", "NO_FACE")  # of a source, the gravest first


@dataclass(frozen=True)
class FaceStatus:
    """A face in sight: its track, its verdict's label, its smoothed probability (None before)."""

    track: int
    verdict: str
    probability: float | None
    reason: str = ""


@dataclass(frozen=True)
class SourceStatus:
    """A source of a run at one moment.

    Attributes:
        name: Its name, credentials hidden.
        health: State, last error, frames, drops by cause.
        live: Whether time passes by itself.
        fps: Frames per second handled lately.
        faces: The faces in sight.
        latency_ms: Capture to verdict, "p50", "p90", "p99" of the newest clips; empty before.
    """

    name: str
    health: Health
    live: bool = True
    fps: float = 0.0
    faces: tuple[FaceStatus, ...] = ()
    latency_ms: dict[str, float] = field(default_factory=dict)

    @property
    def verdict(self) -> str | None:
        """The gravest of the faces in sight, NO_FACE without any; None unless it is running."""
        if self.health.state is not State.RUNNING:
            return None
        said = {face.verdict for face in self.faces} or {"NO_FACE"}
        return min(said, key=VERDICTS.index)

    @property
    def score(self) -> float | None:
        """The highest probability of the faces in sight; None without one, or not running."""
        if self.health.state is not State.RUNNING:
            return None
        scores = [face.probability for face in self.faces if face.probability is not None]
        return max(scores, default=None)


class Control(Protocol):
    """A run, seen from outside. Every method may be called from any thread and returns at once."""

    @property
    def warm(self) -> bool:
        """Whether the model has answered once, so that sources are started."""

    @property
    def dead_threads(self) -> list[str]:
        """Threads that every source needs and that are gone although nobody asked for the end."""

    def status(self) -> tuple[SourceStatus, ...]:
        """All sources, in the order in which they were named."""

    def start(self, source: str) -> None:
        """Watch a stopped source again; KeyError for an unknown name."""

    def stop(self, source: str) -> None:
        """Stop watching a source; KeyError for an unknown name."""

    def snapshot(self, source: str) -> np.ndarray | None:
        """The newest frame with its marks, uint8 (H, W, 3) RGB; None before the first.

        KeyError for an unknown name.
        """
