"""The annotated pictures as a video file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from deploy.sinks.base import Output, Sink
from keras_ddl.errors import USAGE, UserError
from keras_ddl.video import VideoWriter


class AnnotatedVideo(Sink):
    """The annotated frames as H.264 mp4, each at its own time; also finished after Ctrl-C."""

    name = "video"

    @property
    def wants_picture(self) -> bool:
        return True

    def __init__(self, path: Path | str, fps: float = 25.0) -> None:
        self._path = Path(path)
        self._fps = fps
        self._writer: VideoWriter | None = None
        self._held = ExitStack()

    def open(self) -> None:
        """Look whether the folder is there."""
        if not self._path.parent.is_dir():
            message = f"expected an existing folder for '{self._path}', create it first"
            raise UserError(message, USAGE)

    def write(self, output: Output) -> None:
        """Append the picture."""
        if output.picture is None or output.frame is None:
            return
        if self._writer is None:
            self._writer = self._held.enter_context(VideoWriter(self._path, self._fps))
        self._writer.write(output.picture, output.frame.time_ms)

    def close(self) -> None:
        """Write the end of the file and give it its name."""
        self._held.close()
