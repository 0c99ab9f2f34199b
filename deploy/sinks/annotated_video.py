"""The annotated pictures as video files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from deploy.sinks.base import Output, Sink
from deploy.sinks.paced_video import PacedVideo
from deploy.sinks.safe_names import SafeNames
from deploy.sources.base import DEFAULT_FPS
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.optional_import import need

SLOWEST, FASTEST = 0.1, 240.0  # frames per second that are believed
SUFFIXES = (".mp4", ".mkv", ".mov", ".m4v")


class AnnotatedVideo(Sink):
    """The annotated frames as H.264 at a constant rate, in true time; also finished after Ctrl-C.

    Of several sources each has a file of its own: `out-SOURCE.mp4`, at the rate of its `start`
    record; what no camera has (a broken header) counts as 25 fps. A file that ends before the run
    does is followed by `out-2.mp4` (`PacedVideo` says when).

    Args:
        path: File to write. `{source}` in it becomes the source's name, `{start}` the time (UTC)
            when the file begins.
        minutes: Longest file; None = no limit.
        sources: The names of all sources, where they are known beforehand.

    Raises:
        ValueError: `minutes` is not above 0.
    """

    name = "video"

    @property
    def wants_picture(self) -> bool:
        return True

    @property
    def missing(self) -> str:
        return next((video.trouble for video in self._videos.values() if video.trouble), "")

    def __init__(
        self, path: Path | str, minutes: float | None = None, sources: Sequence[str] = ()
    ) -> None:
        if minutes is not None and minutes <= 0:
            raise ValueError(f"minutes: expected above 0, received {minutes!r}")
        self._path = Path(path)
        self._minutes = minutes
        self._names = SafeNames()
        self._known = [self._names.of(name) for name in sources]
        self._rates: dict[str, float] = {}  # by source
        self._videos: dict[str, PacedVideo] = {}
        self._used: set[Path] = set()

    def open(self) -> None:
        """See whether there is a folder to write to.

        Raises:
            UserError: there is none, the file's ending is that of no video, or PyAV is missing.
        """
        need("av", "saving video")
        if self._path.suffix.lower() not in SUFFIXES:
            kinds = ", ".join(SUFFIXES)
            raise UserError(f"expected a video ({kinds}) to save, received '{self._path}'", USAGE)
        folder = self._path.parent
        if "{" not in str(folder) and not folder.is_dir():
            message = f"expected an existing folder for '{self._path}', create it first"
            raise UserError(message, USAGE)
        if "{" not in str(folder) and not os.access(folder, os.W_OK):
            raise UserError(f"expected a folder to write to, received '{folder}'", USAGE)

    def write(self, output: Output) -> None:
        """Append the picture to its source's video."""
        for record in output.records:
            if record["type"] == "start" and record.get("fps"):
                self._rates.setdefault(output.source, record["fps"])
        if output.picture is None or output.frame is None:
            return
        if output.source not in self._videos:
            self._videos[output.source] = self._video(output.source)
        self._videos[output.source].write(output.picture, output.frame.time_ms)

    def close(self) -> None:
        """Write the ends of the files and give them their names."""
        for video in self._videos.values():
            video.close()

    def _video(self, source: str) -> PacedVideo:
        several = len(self._known) > 1 or bool(self._videos)
        name = self._names.of(source)
        fps = self._rates.get(source, DEFAULT_FPS)
        fps = fps if SLOWEST <= fps <= FASTEST else DEFAULT_FPS
        return PacedVideo(lambda: self._next_path(name, several), fps, self._minutes)

    def _next_path(self, name: str, several: bool) -> Path:
        start = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        template = str(self._path)
        path = Path(template.replace("{source}", name).replace("{start}", start))
        if several and "{source}" not in template:
            path = path.with_stem(f"{path.stem}-{name}")
        plain, number = path, 1
        while path in self._used:
            number += 1
            path = plain.with_stem(f"{plain.stem}-{number}")
        self._used.add(path)
        return path
