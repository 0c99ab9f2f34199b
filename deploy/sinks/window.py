"""The annotated pictures on this machine's screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from deploy.needs import need
from deploy.quiet import quiet_stderr
from deploy.sinks.base import Output, Sink
from keras_ddl.errors import MISSING, UserError

QUIT_KEYS = (ord("q"), 27)  # q and Esc


class Window(Sink):
    """A window on this machine's screen; q, Esc or closing it calls `on_quit`."""

    name = "window"

    @property
    def wants_picture(self) -> bool:
        return True

    def __init__(self, title: str, on_quit: Callable[[], None]) -> None:
        self._title = title
        self._on_quit = on_quit
        self._cv2: Any = None

    def write(self, output: Output) -> None:
        """Show the picture."""
        if output.picture is None:
            return
        if self._cv2 is None:
            self._cv2 = self._open()
        self._cv2.imshow(self._title, output.picture[..., ::-1])
        pressed = self._cv2.waitKey(1) & 0xFF
        visible = self._cv2.getWindowProperty(self._title, self._cv2.WND_PROP_VISIBLE) >= 1
        if pressed in QUIT_KEYS or not visible:
            self._on_quit()

    def _open(self) -> Any:
        cv2 = need("cv2", "showing a window")
        lacking = ""
        if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
            lacking = "no display is set (DISPLAY, WAYLAND_DISPLAY)"
        try:
            if not lacking:
                with quiet_stderr():
                    cv2.namedWindow(self._title, cv2.WINDOW_NORMAL)
        except cv2.error:
            lacking = "this OpenCV is built without windows (opencv-python-headless)"
        if lacking:
            raise UserError(f"cannot open a window: {lacking}; use --save FILE instead", MISSING)
        return cv2

    def close(self) -> None:
        """Close the window."""
        if self._cv2 is not None:
            self._cv2.destroyAllWindows()
        self._cv2 = None
