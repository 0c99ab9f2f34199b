"""`check_files`: are these files videos, and do they hold all the frames they promise?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.process_pool import ordered_map

FINE = ("", "")


def check_files(
    paths: Sequence[Path], deep: bool = False, processes: int = 1
) -> Iterator[tuple[str, str]]:
    """Yield for every file a level and one line that says what is wrong; blanks where it is fine.

    Args:
        paths: Files.
        deep: Decode every frame; otherwise the file is opened and must have a video stream.
        processes: Worker processes; 1 = in this process.

    Raises:
        UserError: If PyAV is missing.
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"video files need PyAV: {error}; install the 'edge' extra", MISSING
        ) from error
    yield from ordered_map(_decode if deep else _open, paths, processes, _start)


def _start() -> None:
    """A worker needs nothing before its first file."""


def _open(path: Path) -> tuple[str, str]:
    from keras_ddl.edge.video import read_video

    try:
        read_video(path)  # opens the file and finds the stream; the frames are left alone
    except UserError as error:
        return "error", str(error)
    return FINE


def _decode(path: Path) -> tuple[str, str]:
    from keras_ddl.edge.video import probe, read_video

    try:
        promised = probe(path).frames
        frames = sum(1 for _ in read_video(path))
    except UserError as error:
        return "error", str(error)
    if frames < promised:
        return "warning", f"{path}: {frames} of {promised} frames can be read (truncated?)"
    return FINE
