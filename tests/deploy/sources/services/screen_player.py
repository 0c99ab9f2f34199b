"""A window that plays drawn faces on an X display, as a video call's does; no toolkit, no codec.

Usage: python screen_player.py [--title "A call"] [--at 100,60] [--size 640x480] [--fps 25]
Prints "ready" once the first picture is shown; plays until it is killed.
"""

from __future__ import annotations

import argparse
import itertools
import time

import cv2
import numpy as np
import xcffib
import xcffib.xproto as x11

from deploy.sources.synthetic import Scene, draw_loop

STRIP = 32  # lines in one request; a request of X has a size it cannot exceed


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--title", default="A call")
    parser.add_argument("--at", default="100,60")
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--fps", type=float, default=25.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    left, top = map(int, args.at.split(","))
    width, height = map(int, args.size.split("x"))
    pictures = draw_loop(Scene(size=(width, height), fps=args.fps, seed=args.seed))
    frames = [cv2.cvtColor(picture, cv2.COLOR_RGB2BGRA) for picture in pictures]

    server = xcffib.connect()
    screen = server.get_setup().roots[server.pref_screen]
    window, canvas, pen = (server.generate_id() for _ in range(3))
    server.core.CreateWindow(
        screen.root_depth,
        window,
        screen.root,
        left,
        top,
        width,
        height,
        0,
        x11.WindowClass.InputOutput,
        screen.root_visual,
        0,
        [],
    )
    title = args.title.encode()
    server.core.ChangeProperty(
        x11.PropMode.Replace, window, x11.Atom.WM_NAME, x11.Atom.STRING, 8, len(title), title
    )
    server.core.MapWindow(window)
    server.core.CreatePixmap(screen.root_depth, canvas, window, width, height)
    server.core.CreateGC(pen, window, 0, [])
    due = time.monotonic()
    for number, frame in enumerate(itertools.cycle(frames)):
        draw(server, canvas, pen, screen.root_depth, frame)
        server.core.CopyArea(canvas, window, pen, 0, 0, 0, 0, width, height)  # no half of it
        server.core.GetInputFocus().reply()  # by now it is shown
        if number == 0:
            print("ready", flush=True)
        due = max(due + 1.0 / args.fps, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def draw(server: xcffib.Connection, canvas: int, pen: int, depth: int, frame: np.ndarray) -> None:
    """Put a picture, uint8 (H, W, 4) BGRX, on a pixmap."""
    kind = x11.ImageFormat.ZPixmap
    for top in range(0, len(frame), STRIP):
        strip = frame[top : top + STRIP]
        size, data = (strip.shape[1], strip.shape[0]), strip.tobytes()
        server.core.PutImage(kind, canvas, pen, *size, 0, top, 0, depth, len(data), data)


if __name__ == "__main__":
    main()
