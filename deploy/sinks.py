"""Where results go. A sink is a context manager that opens on the first item it has use for."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import numpy as np

from deploy.needs import need
from deploy.quiet import quiet_stderr
from deploy.records import Record, ScoredClip, to_line
from keras_ddl.errors import MISSING, USAGE, UserError
from keras_ddl.video import Frame, VideoWriter

STDOUT = "-"
QUIT_KEYS = (ord("q"), 27)  # q and Esc


@dataclass(frozen=True)
class Output:
    """What one step of the pipeline gave: any part may be empty.

    Attributes:
        records: JSON records in order.
        frame: The frame of this step.
        scored: Clips judged in this step.
        picture: The annotated frame, uint8 (H, W, 3) RGB; only drawn when a sink wants it.
    """

    records: tuple[Record, ...] = ()
    frame: Frame | None = None
    scored: tuple[ScoredClip, ...] = ()
    picture: np.ndarray | None = None


class Sink(ABC):
    """Takes outputs in order until it is closed; closing twice is allowed."""

    wants_picture = False

    @abstractmethod
    def write(self, output: Output) -> None:
        """Take what concerns this sink."""

    def close(self) -> None:
        """Finish what was written, so that it can be used."""
        return None

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class JsonLines(Sink):
    """One JSON object per line, flushed at once; to a file, or to stdout for "-"."""

    def __init__(self, target: str | Path) -> None:
        self._target = str(target)
        self._file: TextIO | None = None

    def write(self, output: Output) -> None:
        """Write the records; a reader that went away is a BrokenPipeError."""
        for record in output.records:
            if self._file is None:
                self._file = self._open()
            self._file.write(to_line(record) + "\n")
            self._file.flush()

    def _open(self) -> TextIO:
        if self._target == STDOUT:
            return sys.stdout
        try:
            return Path(self._target).open("w", encoding="utf-8")
        except OSError as error:
            message = f"expected a file to write JSON Lines to, received '{self._target}'"
            raise UserError(f"{message}: {error.strerror}", USAGE) from error

    def close(self) -> None:
        """Close the file; stdout is left open."""
        if self._file is not None and self._file is not sys.stdout:
            self._file.close()
        self._file = None


class AnnotatedVideo(Sink):
    """The annotated frames as H.264 mp4, each at its own time; also finished after Ctrl-C."""

    wants_picture = True

    def __init__(self, path: Path | str, fps: float) -> None:
        self._path = Path(path)
        self._fps = fps
        self._writer: VideoWriter | None = None
        self._held = ExitStack()

    def write(self, output: Output) -> None:
        """Append the picture."""
        if output.picture is None or output.frame is None:
            return
        if self._writer is None:
            if not self._path.parent.is_dir():
                message = f"expected an existing folder for '{self._path}', create it first"
                raise UserError(message, USAGE)
            self._writer = self._held.enter_context(VideoWriter(self._path, self._fps))
        self._writer.write(output.picture, output.frame.time_ms)

    def close(self) -> None:
        """Write the end of the file and give it its name."""
        self._held.close()


class Window(Sink):
    """A window on this machine's screen; q, Esc or closing it calls `on_quit`."""

    wants_picture = True

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


class Progress(Sink):
    """A bar on stderr for sources that end; silent without tqdm or without a terminal."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._bar: Any = None

    def write(self, output: Output) -> None:
        """Count the frame."""
        if output.frame is None:
            return
        if self._bar is None:
            try:
                from tqdm import tqdm
            except ImportError:
                return
            self._bar = tqdm(total=self._total, unit="frame", disable=None, leave=False)
        self._bar.update(1)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
