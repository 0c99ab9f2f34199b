"""An X server without a screen, and windows of one colour on it; needs Xvfb and xcffib."""

from __future__ import annotations

import os
import subprocess

LIMIT_S = 60.0


class XDisplay:
    """An Xvfb of this test's own, and what is drawn on it.

    Args:
        size: Of its only monitor, in pixels.
        number: Such as ":5"; "" = one that is free.

    Attributes to read:
        number: For $DISPLAY.
    """

    def __init__(self, size: str = "640x480", number: str = "") -> None:
        read, write = os.pipe()
        line = ["Xvfb", "-displayfd", str(write), "-screen", "0", f"{size}x24", "-nolisten", "tcp"]
        line[1:1] = [number] if number else []
        self._process = subprocess.Popen(line, pass_fds=[write], stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as told:
            self.number = f":{told.readline().strip()}"  # it listens by now
        import xcffib.randr
        import xcffib.xproto

        self._x = xcffib.xproto
        self._server = xcffib.connect(self.number)
        self._screen = self._server.get_setup().roots[0]
        self._randr = self._server(xcffib.randr.key)
        self._mode_of = xcffib.randr.ModeInfo.synthetic

    def window(
        self, color: tuple[int, int, int], area: tuple[int, int, int, int], title: str = ""
    ) -> int:
        """Show a window of one RGB colour at (left, top, width, height); returns its number."""
        core, x = self._server.core, self._x
        pixel = color[0] << 16 | color[1] << 8 | color[2]
        number = self._server.generate_id()
        core.CreateWindow(
            *(self._screen.root_depth, number, self._screen.root),
            *(*area, 0),
            *(x.WindowClass.InputOutput, self._screen.root_visual),
            *(x.CW.BackPixel, [pixel]),
        )
        name, data = x.Atom.WM_NAME, title.encode()
        core.ChangeProperty(x.PropMode.Replace, number, name, x.Atom.STRING, 8, len(data), data)
        core.MapWindow(number)
        self.settle()
        return number

    def move(self, window: int, left: int, top: int) -> None:
        """Move a window."""
        names = self._x.ConfigWindow
        self._server.core.ConfigureWindow(window, names.X | names.Y, [left, top])
        self.settle()

    def list_windows(self, *windows: int) -> None:
        """Say which are the users' windows, as a window manager does."""
        core, x = self._server.core, self._x
        name = "_NET_CLIENT_LIST"
        atom = core.InternAtom(False, len(name), name).reply().atom
        many, root = len(windows), self._screen.root
        core.ChangeProperty(x.PropMode.Replace, root, atom, x.Atom.WINDOW, 32, many, windows)
        self.settle()

    def close_window(self, window: int) -> None:
        """Close a window."""
        self._server.core.DestroyWindow(window)
        self.settle()

    def resize(self, width: int, height: int) -> None:
        """Give the monitor another mode, as a user does in the settings."""
        root, name = self._screen.root, f"{width}x{height}"
        there = self._randr.GetScreenResourcesCurrent(root).reply()
        mode = self._mode_of(0, width, height, *(0,) * 8, len(name), 0)
        made = self._randr.CreateMode(root, mode, len(name), name).reply().mode
        self._randr.AddOutputMode(there.outputs[0], made, is_checked=True).check()
        for size in ((640, 480), (width, height)):  # at no time is the screen the smaller one
            self._randr.SetScreenSize(root, *size, 300, 200, is_checked=True).check()
            output = there.crtcs[0], 0, 0, 0, 0, made, 1, 1, there.outputs
            self._randr.SetCrtcConfig(*output).reply()

    def settle(self) -> None:
        """Wait until the server has done all that it was asked for."""
        self._server.core.GetInputFocus().reply()

    def close(self) -> None:
        """End the server, and all windows with it."""
        if self._process.poll() is None:
            self._server.disconnect()
            self._process.terminate()
            self._process.wait(LIMIT_S)
