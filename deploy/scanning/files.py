"""Search for the files that are to be judged."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.sources.still import PICTURES
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.files import printable

VIDEOS = frozenset(
    ".3gp .asf .avi .dv .flv .gif .h264 .hevc .m2ts .m4v .mjpeg .mkv .mov .mp4 .mpeg .mpg .mts "
    ".mxf .ogg .ogv .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)
# First bytes of the pictures that OpenCV reads; "WEBP" stands at byte 8, after "RIFF" and a length.
PICTURE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"II*\x00", b"MM\x00*")


@dataclass(frozen=True)
class Candidate:
    """A file that may be a video or a picture, or a place that may not be looked into.

    Attributes:
        path: Where it is, as it was named.
        expected: Its suffix, or the user, says that it is one: if it is not, that is an error.
        size: Bytes.
        mtime_ns: When it was last written.
        trouble: Why it, or what is in it, cannot be judged; "" where it can be tried.
        name: What the lines about it call it; "" = its path.
    """

    path: str
    expected: bool
    size: int
    mtime_ns: int
    trouble: str = ""
    name: str = ""


def find(paths: Sequence[Path], leave_out: Iterable[Path] = ()) -> list[Candidate]:
    """List files, and all files below folders, each once, in order of their names.

    A file or folder that may not be looked at is listed with its trouble, and the others are
    listed all the same; one that vanishes meanwhile is not there.

    Args:
        paths: Files and folders.
        leave_out: Folders that are not searched: where results go.

    Raises:
        UserError: a path is not there.
    """
    skipped = {path.resolve() for path in leave_out}
    found: dict[Path, Candidate] = {}
    for path in paths:
        for candidate in _below(path, skipped) if _is_folder(path) else [_named(path)]:
            file = Path(candidate.path)
            found.setdefault(file if candidate.trouble else file.resolve(), candidate)
    return list(found.values())


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        message = f"expected a file or a folder, received '{printable(str(path))}', which is not"
        raise UserError(f"{message} there; check the path", USAGE) from None
    except OSError:  # the candidate says so
        return False


def _named(path: Path) -> Candidate:
    found = _look_at(path, named=True)
    return found or _troubled(path, "expected a file, received a pipe, a socket or a device")


def _below(folder: Path, skipped: set[Path]) -> list[Candidate]:
    closed: list[OSError] = []
    found: list[Candidate] = []
    walk = os.walk(folder, onerror=closed.append)  # follows no links to folders: no circles
    for top, folders, names in walk:
        here = Path(top)
        folders[:] = [name for name in folders if (here / name).resolve() not in skipped]
        if (names or folders) and (reason := _why_closed(here / [*names, *folders][0])):
            found.append(_troubled(here, reason))
            folders.clear()
            continue
        found += filter(None, (_look_at(here / name) for name in names))
    for error in closed:
        if not isinstance(error, FileNotFoundError):
            found.append(_troubled(Path(error.filename), _refused(error)))
    return sorted(found, key=lambda candidate: Path(candidate.path))


def _why_closed(inside: Path) -> str:
    """Why the folder of a path may be listed and not entered; "" where it may."""
    try:
        inside.lstat()
    except PermissionError as error:
        return _refused(error)
    except OSError:  # vanished
        return ""
    return ""


def _look_at(file: Path, named: bool = False) -> Candidate | None:
    """The candidate that a file is; None where it is no regular file, or not there any more."""
    suffix = file.suffix.lower()
    try:
        status = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None if not named else _troubled(file, "it is not there any more")
    except OSError as error:
        return None if error.errno == errno.ELOOP else _troubled(file, _refused(error))
    if not stat.S_ISREG(status.st_mode):
        return None
    expected = named or suffix in VIDEOS or suffix in PICTURES
    return Candidate(str(file), expected, status.st_size, status.st_mtime_ns)


def _troubled(path: Path, reason: str) -> Candidate:
    return Candidate(str(path), True, 0, 0, reason)


def _refused(error: OSError) -> str:
    return f"cannot be read: {error.strerror or error}"


def is_picture(path: Path) -> bool:
    """Whether a file begins as a picture does; its suffix may say anything."""
    with path.open("rb") as file:
        start = file.read(12)
    return start.startswith(PICTURE_STARTS) or (start[:4] == b"RIFF" and start[8:] == b"WEBP")
