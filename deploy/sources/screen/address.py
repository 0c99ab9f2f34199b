"""Address of a screen: `screen://0?region=X,Y,W,H&window=TITLE&fps=25`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deploy.sources.options import read_options, split_address, whole
from keras_ddl.edge.errors import UserError

FORM = "screen://MONITOR such as screen://0, or screen://all"
ALL = "all"
FPS = 25
LEAST_SIDE = 16  # pixels; no face is smaller
MOST_SIDE = 1 << 15
MOST_DIGITS = 4


@dataclass(frozen=True)
class Area:
    """A rectangle, in pixels from the upper left corner of what it is a part of."""

    left: int
    top: int
    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width} × {self.height}"

    def part(self, region: Area) -> Area | None:
        """Where a region of this area lies, in this area's own coordinates; None if outside."""
        fits = (
            region.left + region.width <= self.width and region.top + region.height <= self.height
        )
        left, top = self.left + region.left, self.top + region.top
        return Area(left, top, region.width, region.height) if fits else None

    def visible(self, screen: Area) -> Area | None:
        """What of this area lies on a screen; None where that is too little to show a face."""
        left, top = max(self.left, screen.left), max(self.top, screen.top)
        right = min(self.left + self.width, screen.left + screen.width)
        bottom = min(self.top + self.height, screen.top + screen.height)
        shown = Area(left, top, right - left, bottom - top)
        return shown if min(shown.width, shown.height) >= LEAST_SIDE else None


@dataclass(frozen=True)
class ScreenPlan:
    """What `screen://…` asks for.

    Args:
        monitor: Counted from 0, as the system has them in order; None = all as one picture.
        window: Title of a window, or a part of it, that is looked for on all monitors; "" = none.
        region: The part of the monitor or window that is watched; None = all of it.
        fps: Pictures per second.
    """

    monitor: int | None
    window: str = ""
    region: Area | None = None
    fps: int = FPS


def screen_plan(text: str) -> ScreenPlan:
    """Parse an address.

    Raises:
        UserError: no monitor number, an unknown option or a value out of range.
    """
    parts = split_address(text, FORM)
    counted = parts.netloc.isdecimal() and len(parts.netloc) <= MOST_DIGITS
    if not (counted or parts.netloc == ALL) or parts.path not in ("", "/"):
        raise UserError(f"expected {FORM}, received {text}")
    monitor = None if parts.netloc == ALL else int(parts.netloc)
    return ScreenPlan(monitor, **read_options(text, parts.query, OPTIONS))


def _region(text: str) -> Area:
    values = [int(value) for value in text.split(",") if value.isdecimal()]
    if text.count(",") != 3 or len(values) != 4 or max(values) > MOST_SIDE:
        raise ValueError("X,Y,WIDTH,HEIGHT in pixels such as 0,0,640,480")
    area = Area(*values)
    if min(area.width, area.height) < LEAST_SIDE:
        raise ValueError(f"X,Y,WIDTH,HEIGHT with sides of {LEAST_SIDE} pixels or more")
    return area


def _title(text: str) -> str:
    if not text.strip():
        raise ValueError("the title of a window, or a part of it")
    return text.strip()


OPTIONS: dict[str, Callable[[str], Any]] = {
    "fps": whole(1, 60),  # one at least: who waits for the next picture can be stopped
    "region": _region,
    "window": _title,
}
