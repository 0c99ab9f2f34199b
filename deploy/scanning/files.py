"""Search for the files that are to be judged: on this machine and in stores."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.sources.still import PICTURES
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.files import file_sha256, printable
from keras_ddl.edge.storage.address import Address, is_address
from keras_ddl.edge.storage.store import Store, StoredFile

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
        path: Where it is, as it was named; in a store its address.
        expected: Its suffix, or the user, says that it is one: if it is not, that is an error.
        size: Bytes.
        mtime_ns: When it was last written; 0 where a store does not say.
        trouble: Why it, or what is in it, cannot be judged; "" where it can be tried.
        name: What the lines about it call it; "" = its path.
        tag: What its store says changes with its content; "" on this machine.
    """

    path: str
    expected: bool
    size: int
    mtime_ns: int
    trouble: str = ""
    name: str = ""
    tag: str = ""

    @property
    def stored(self) -> StoredFile | None:
        """The file in its store; None where it is one of this machine."""
        if not is_address(self.path):
            return None
        return StoredFile(Address(self.path), self.size, self.tag, self.mtime_ns)


def find(
    paths: Sequence[Path | Address], leave_out: Iterable[Path | Address] = ()
) -> Iterator[Candidate]:
    """Yield files, and all files below folders, as they are come by.

    A file or folder that may not be looked at comes with its trouble, and the others come all the
    same; one that vanishes meanwhile does not. Below an address only files come whose name ends as
    that of a video or a picture, or without a suffix: others would be fetched in vain.

    Args:
        paths: Files and folders; what two of them hold comes twice.
        leave_out: Folders that are not searched: where results go.

    Raises:
        UserError: a path is not there.
    """
    leave_out = list(leave_out)
    skipped = {path.resolve() for path in leave_out if isinstance(path, Path)}
    apart = tuple(f"{path.rstrip('/')}/" for path in leave_out if isinstance(path, Address))
    for path in paths:
        if isinstance(path, Address):
            yield from _in_store(path, apart)
        elif _is_folder(path):
            yield from _below(path, skipped)
        else:
            yield _named(path)


def sha256_of(candidate: Candidate) -> str:
    """Return the SHA-256 of a file's content, wherever it is.

    Raises:
        OSError, UserError: it cannot be read.
    """
    if (stored := candidate.stored) is not None:
        return Store(stored.address).sha256(stored)
    return file_sha256(Path(candidate.path))


def _in_store(address: Address, apart: tuple[str, ...]) -> Iterator[Candidate]:
    store = Store(address)
    if (file := store.look(address)) is not None:
        yield _of_store(file, True)
        return
    empty = True
    for file in store.below(address):
        empty = False
        suffix = file.address.suffix.lower()
        if file.address.startswith(apart):
            continue
        if not suffix or suffix in VIDEOS or suffix in PICTURES:
            yield _of_store(file, bool(suffix))
    if empty:
        message = f"expected a file or a folder with files, received '{address}', where none is"
        raise UserError(f"{message}; check the address", USAGE)


def _of_store(file: StoredFile, expected: bool) -> Candidate:
    return Candidate(str(file.address), expected, file.size, file.mtime_ns, tag=file.tag)


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


def _below(folder: Path, skipped: set[Path]) -> Iterator[Candidate]:
    closed: list[OSError] = []
    walk = os.walk(folder, onerror=closed.append)  # follows no links to folders: no circles
    for top, folders, names in walk:
        here = Path(top)
        folders[:] = sorted(name for name in folders if (here / name).resolve() not in skipped)
        if (names or folders) and (reason := _why_closed(here / [*names, *folders][0])):
            yield _troubled(here, reason)
            folders.clear()
            continue
        yield from filter(None, (_look_at(here / name) for name in sorted(names)))
    for error in closed:
        if not isinstance(error, FileNotFoundError):
            yield _troubled(Path(error.filename), _refused(error))


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
