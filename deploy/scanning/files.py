"""Search for the files that are to be judged."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.sources.still import PICTURES
from keras_ddl.edge.errors import USAGE, UserError

VIDEOS = frozenset(
    ".3gp .asf .avi .dv .flv .gif .h264 .hevc .m2ts .m4v .mjpeg .mkv .mov .mp4 .mpeg .mpg .mts "
    ".mxf .ogg .ogv .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)
# First bytes of the pictures that OpenCV reads; "WEBP" stands at byte 8, after "RIFF" and a length.
PICTURE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True)
class Candidate:
    """A file that may be a video or a picture.

    Attributes:
        path: Where it is, as it was named.
        expected: Its suffix, or the user, says that it is one: if it is not, that is an error.
        size: Bytes.
        mtime_ns: When it was last written.
    """

    path: str
    expected: bool
    size: int
    mtime_ns: int


def find(paths: Sequence[Path], leave_out: Iterable[Path] = ()) -> list[Candidate]:
    """List files, and all files below folders, each once, in order of their names.

    Args:
        paths: Files and folders.
        leave_out: Folders that are not searched: where results go.

    Raises:
        UserError: a path is not there.
    """
    skipped = {path.resolve() for path in leave_out}
    found: dict[Path, Candidate] = {}
    for path in paths:
        if not path.exists():
            message = f"expected a file or a folder, received '{shown(str(path))}', which is not"
            raise UserError(f"{message} there; check the path", USAGE)
        inside = sorted(_below(path, skipped)) if path.is_dir() else [path]
        for file in inside:
            stat = file.stat()
            suffix = file.suffix.lower()
            expected = file == path or suffix in VIDEOS or suffix in PICTURES
            candidate = Candidate(str(file), expected, stat.st_size, stat.st_mtime_ns)
            found.setdefault(file.resolve(), candidate)
    return list(found.values())


def _below(folder: Path, skipped: set[Path]) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):  # does not follow links to folders: no circles
        here = Path(top)
        folders[:] = [name for name in folders if (here / name).resolve() not in skipped]
        yield from (here / name for name in names if (here / name).is_file())


def is_picture(path: Path) -> bool:
    """Whether a file begins as a picture does; its suffix may say anything."""
    with path.open("rb") as file:
        start = file.read(12)
    return start.startswith(PICTURE_STARTS) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")


def shown(path: str) -> str:
    """A path as text that any encoding takes; bytes that are no UTF-8 show as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
