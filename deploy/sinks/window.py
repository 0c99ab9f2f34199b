"""The annotated pictures on this machine's screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from deploy.machine.quiet import quiet_stderr
from deploy.sinks.base import Output, Sink
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

QUIT_KEYS = (ord("q"), 27)  # q and Esc
NO_WINDOWS = "this OpenCV is built without windows (opencv-python-headless)"


class Window(Sink):
    """A window for each source on this machine's screen; q, Esc or closing one calls `on_quit`."""

    name = "window"

    @property
    def wants_picture(self) -> bool:
        return True

    def __init__(self, on_quit: Callable[[], None]) -> None:
        self._titles: set[str] = set()
        self._on_quit = on_quit
        self._cv2: Any = None

    def open(self) -> None:
        """Look for a display and for windows in OpenCV."""
        cv2 = need("cv2", "showing a window")
        lacking = ""
        if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
            lacking = "no display is set (DISPLAY, WAYLAND_DISPLAY)"
        elif "GUI:                           NONE" in cv2.getBuildInformation():
            lacking = NO_WINDOWS
        if lacking:
            raise _cannot(lacking)
        self._cv2 = cv2

    def write(self, output: Output) -> None:
        """Show the picture."""
        if output.picture is None:
            return
        if self._cv2 is None:
            self.open()
        title = output.source
        if title not in self._titles:
            self._appear(title)
        self._cv2.imshow(title, output.picture[..., ::-1])
        pressed = self._cv2.waitKey(1) & 0xFF
        visible = self._cv2.getWindowProperty(title, self._cv2.WND_PROP_VISIBLE) >= 1
        if pressed in QUIT_KEYS or not visible:
            self._on_quit()

    def _appear(self, title: str) -> None:
        """Make the window, on the thread that will serve it."""
        try:
            with quiet_stderr():
                self._cv2.namedWindow(title, self._cv2.WINDOW_NORMAL)
        except self._cv2.error as error:
            raise _cannot(NO_WINDOWS) from error
        self._titles.add(title)

    def close(self) -> None:
        """Close the window."""
        if self._titles:
            self._cv2.destroyAllWindows()
        self._titles.clear()


def _cannot(lacking: str) -> UserError:
    return UserError(f"cannot open a window: {lacking}; use --save FILE instead", MISSING)
