"""MapKind: what a map over a face crop shows, and the line that must stand beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class MapKind:
    """One kind of map.

    Attributes:
        output: Name of the output of a graph that gives it, by which a bundle says what it has.
        title: What it is called.
        says: What its bright cells mean, and what they do not.
    """

    output: str
    title: str
    says: str

    @property
    def caption(self) -> str:
        """The line for under a picture; where it is too long it may go on after the semicolon."""
        return f"{self.title}: {self.says}"

    @property
    def picture(self) -> str:
        """Name of a file that shows it."""
        return f"{self.output.removesuffix('_map')}.png"


INCONSISTENCY = MapKind(
    "inconsistency_map",
    "Inconsistency map",
    "where DFDC saw change; not where a forgery is",
)
FORGERY = MapKind(
    "forgery_map", "Forgery map", "how surely each cell is forged; what the localisation head says"
)
GRAD_CAM = MapKind(
    "grad_cam", "Grad-CAM", "what raised this network's score; not where a forgery is"
)
KINDS = (INCONSISTENCY, FORGERY, GRAD_CAM)


def kind_among(outputs: Iterable[str]) -> MapKind | None:
    """Return the kind of the map that a graph with these outputs gives; None without one."""
    names = set(outputs)
    return next((kind for kind in KINDS if kind.output in names), None)
