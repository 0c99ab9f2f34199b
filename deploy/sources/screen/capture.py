"""Capture of a screen, paced: pictures of a monitor, of a part of it, or of a window."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from deploy.sources.base import DEFAULT_LIMITS, Limits
from deploy.sources.live.connection import Shot
from deploy.sources.screen.address import Area, ScreenPlan
from deploy.sources.screen.windows import EXTRA, WHAT, XWindows, open_windows
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.video.container import size_fault

LOOK_EVERY_S = 1.0  # whether the monitors are still what they were


class ScreenConnection:
    """A screen that is looked at, so many times a second; for one thread.

    Args:
        plan: What of it.
        name: For errors.
        most_pixels: Of a picture.

    Raises:
        UserError: nothing of that is there; exit code 3.
    """

    paced = False
    ends = False

    def __init__(self, plan: ScreenPlan, name: str, most_pixels: int) -> None:
        self.fps = float(plan.fps)
        self._plan, self._name, self._most_pixels = plan, name, most_pixels
        self._mss = need("mss", WHAT, EXTRA)
        self._screen: Any = None
        self._windows: XWindows | None = None
        self._window = 0
        try:
            if sys.platform == "linux":
                self._windows = open_windows()
            if plan.window:
                self._window = self._find(plan.window)
            else:
                self._close_windows()
            self._look()
            self._watched()
        except UserError:
            self.close()
            raise

    def shots(self, drop: Callable[[str], None]) -> Iterator[Shot]:
        """Yield pictures until there are none to be had; nothing is ever dropped here."""
        try:
            yield from self._paced()
        except UserError as error:
            raise UserError(f"lost {self._name}: {error}", MISSING) from None

    def close(self) -> None:
        """Close the connections to the display."""
        self._shut()
        self._close_windows()

    def _paced(self) -> Iterator[Shot]:
        due = look_at = time.monotonic()
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.monotonic()
            if start >= look_at:
                self._look()
                look_at = start + LOOK_EVERY_S
            image = self._grab()
            yield Shot(image, start * 1000.0, time.monotonic() - start)
            due = max(due + 1.0 / self.fps, time.monotonic())

    def _grab(self) -> np.ndarray:
        """Take a picture, uint8 (H, W, 3) RGB; twice where a monitor has just changed."""
        cv2 = need("cv2", WHAT)
        try:
            taken = self._taken()
        except UserError:
            self._look()
            taken = self._taken()
        return np.asarray(cv2.cvtColor(np.asarray(taken), cv2.COLOR_BGRA2RGB))

    def _taken(self) -> Any:
        area = self._watched()
        place = {name: getattr(area, name) for name in ("left", "top", "width", "height")}
        try:
            return self._screen.grab(place)
        except (self._mss.ScreenShotError, AssertionError) as error:  # the latter: no server
            raise UserError(f"no picture from the display ({_words(error)})", MISSING) from error

    def _look(self) -> None:
        """Ask anew which monitors there are: mss keeps what it was told when it was opened."""
        self._shut()
        try:
            self._screen = self._mss.MSS()
            self._monitors = [
                Area(found["left"], found["top"], found["width"], found["height"])
                for found in self._screen.monitors
            ]
        except (self._mss.ScreenShotError, AssertionError) as error:
            raise UserError(f"no picture from the display ({_words(error)})", MISSING) from error

    def _watched(self) -> Area:
        """What is to be seen just now, in the coordinates of the whole screen."""
        base, region = self._base(), self._plan.region
        area = base.part(region) if region else base
        if area is None:
            at = f"{region.left},{region.top}" if region else ""
            raise UserError(f"expected a region within {base}, received {region} at {at}")
        if fault := size_fault(area.width, area.height, self._most_pixels):
            raise UserError(f"pictures of {fault}; name a region, or raise --max-megapixels")
        return area

    def _base(self) -> Area:
        everything, *single = self._monitors
        if self._windows is not None:
            area = self._windows.area(self._window).visible(everything)
            if area is None:
                raise UserError("the window is not on the screen", MISSING)
            return area
        if self._plan.monitor is None:
            return everything
        single = single or [everything]  # where the display tells of no monitors
        if self._plan.monitor >= len(single):
            there = ", ".join(f"{number} ({area})" for number, area in enumerate(single))
            raise UserError(f"no such monitor; found {there}", MISSING)
        return single[self._plan.monitor]

    def _find(self, title: str) -> int:
        if self._windows is None:
            raise UserError("window=: windows are found on X11 alone; name a region", MISSING)
        return self._windows.find(title)

    def _close_windows(self) -> None:
        if self._windows is not None:
            self._windows.close()
            self._windows = None

    def _shut(self) -> None:
        if self._screen is not None:
            with suppress(self._mss.ScreenShotError):  # the display was gone before
                self._screen.close()
            self._screen = None


def connect_screen(
    plan: ScreenPlan, name: str, limits: Limits = DEFAULT_LIMITS
) -> ScreenConnection:
    """Open a screen.

    Raises:
        UserError: no display, Wayland's, or no such monitor, region or window; exit code 3.
    """
    try:
        return ScreenConnection(plan, name, limits.most_pixels)
    except UserError as error:
        raise UserError(f"cannot open {name}: {error}", error.exit_code) from None


def _words(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else "it is gone"
