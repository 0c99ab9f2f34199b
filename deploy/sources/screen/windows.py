"""Windows of an X server by their titles, and where they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from deploy.sources.screen.address import Area
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.optional_import import need

WHAT = "watching a screen"
EXTRA = "screen"
XWAYLAND = "XWAYLAND"  # the extension by which Wayland's X server tells that it is one
MOST_WINDOWS = 2000  # that are asked for their titles
TITLE_WORDS = 256  # of four bytes
NO_DISPLAY = (
    "expected an X display, received none (DISPLAY is not set); start this in the session whose "
    "screen is to be watched, or name its display: DISPLAY=:0"
)
WAYLAND = (
    "expected an X display, received Wayland's, which shows its screen to no other program; log "
    "in to an Xorg session ('on Xorg' at the log-in)"
)


class XWindows:
    """A connection to the X server of `$DISPLAY`; for one thread.

    Raises:
        UserError: the server does not answer, or xcffib is missing; exit code 3.
    """

    def __init__(self) -> None:
        display = os.environ.get("DISPLAY")
        xcffib = need("xcffib", WHAT, EXTRA)
        self._protocol = need("xcffib.xproto", WHAT, EXTRA)
        self._errors = xcffib.XcffibException
        try:
            self._server = xcffib.connect()
            self._root = self._server.get_setup().roots[self._server.pref_screen].root
        except self._errors as error:
            message = f"no X server answers at DISPLAY={display}; name one that runs"
            raise UserError(message, MISSING) from error

    def is_wayland(self) -> bool:
        """Whether this X server is Wayland's own, which does not have the whole screen."""
        try:
            asked = self._server.core.QueryExtension(len(XWAYLAND), XWAYLAND)
            return bool(asked.reply().present)
        except self._errors as error:
            raise UserError(f"the X server is gone ({error})", MISSING) from error

    def find(self, title: str) -> int:
        """The window that can be seen and has this title, else the only one that contains it.

        Case counts for nothing. The titles of other windows are not told: they may hold what is
        nobody's business, and errors go to logs and brokers.

        Raises:
            UserError: there is none, or several contain it; exit code 3.
        """
        wanted, alike = title.casefold(), []
        try:
            for window in self._all():
                name = self._title(window).casefold()
                if wanted in name and self._is_seen(window):
                    if name == wanted:
                        return window
                    alike.append(window)
        except self._errors as error:
            raise UserError(f"the X server is gone ({error})", MISSING) from error
        if len(alike) == 1:
            return alike[0]
        found = f"{len(alike)} windows" if alike else "no window that can be seen"
        remedy = "write more of its title" if alike else "open it, or look at its title again"
        raise UserError(f"found {found} with '{title}' in the title; {remedy}", MISSING)

    def area(self, window: int) -> Area:
        """Where a window is on the screen, without its frame.

        Raises:
            UserError: it is closed, or cannot be seen; exit code 3.
        """
        try:
            seen = self._is_seen(window)
            size = self._server.core.GetGeometry(window).reply() if seen else None
            at = self._server.core.TranslateCoordinates(window, self._root, 0, 0).reply()
        except self._errors as error:
            raise UserError("the window, or the X server, is gone", MISSING) from error
        if size is None:
            raise UserError("the window is minimised or hidden", MISSING)
        return Area(at.dst_x, at.dst_y, size.width, size.height)

    def close(self) -> None:
        """Close the connection."""
        self._server.disconnect()

    def _all(self) -> Iterator[int]:
        """Those that the window manager lists, without one every window, from the root down."""
        listed = self._property(self._root, "_NET_CLIENT_LIST", TITLE_WORDS * 4)
        if listed is not None and listed.value_len:
            yield from listed.value.to_atoms()
            return
        waiting = [self._root]
        for number in range(MOST_WINDOWS):
            if number == len(waiting):
                return
            waiting += self._children(waiting[number])
            yield waiting[number]

    def _children(self, window: int) -> list[int]:
        try:
            return list(self._server.core.QueryTree(window).reply().children)
        except self._protocol.WindowError:  # closed since it was listed
            return []

    def _title(self, window: int) -> str:
        for name in ("_NET_WM_NAME", "WM_NAME"):
            found = self._property(window, name, TITLE_WORDS)
            if found is not None and found.value_len and found.format == 8:
                return bytes(found.value.buf()).decode(errors="replace")
        return ""

    def _property(self, window: int, name: str, words: int) -> Any | None:
        atom = self._server.core.InternAtom(True, len(name), name).reply().atom
        if not atom:
            return None
        try:
            return self._server.core.GetProperty(False, window, atom, 0, 0, words).reply()
        except self._protocol.WindowError:
            return None

    def _is_seen(self, window: int) -> bool:
        try:
            found = self._server.core.GetWindowAttributes(window).reply().map_state
        except self._protocol.WindowError:
            return False
        return bool(found == self._protocol.MapState.Viewable)


def open_windows() -> XWindows:
    """Connect to the X server of `$DISPLAY`.

    Raises:
        UserError: there is none, it does not answer, or it is Wayland's; exit code 3.
    """
    if not os.environ.get("DISPLAY"):
        raise UserError(WAYLAND if os.environ.get("WAYLAND_DISPLAY") else NO_DISPLAY, MISSING)
    windows = XWindows()
    try:
        wayland = windows.is_wayland()
    except UserError:
        windows.close()
        raise
    if wayland:
        windows.close()
        raise UserError(WAYLAND, MISSING)
    return windows
