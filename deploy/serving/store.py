"""Folders of the results: of this run alone, or kept for good where that was asked for."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from deploy.judging.records import Record
from deploy.scanning.file_record import JUDGED
from deploy.serving.names import is_id
from keras_ddl.edge.errors import USAGE, UserError, output_code
from keras_ddl.edge.files import write_json

RESULT = "result.json"
LOCK = ".lock"
WORK = ".work"  # where files lie until they are judged
PREFIX = "keras-ddl-serve-"
LARGEST_RESULT = 16 << 20  # bytes

log = logging.getLogger(__name__)


class Store:
    """A context manager around the folder; one server at a time may hold it.

    Args:
        keep: Where results stay; None = a folder of this user alone that goes at the end. Such a
            folder of a server that was killed goes when the next one starts.

    Attributes:
        keeps: Whether results stay.
    """

    def __init__(self, keep: Path | None = None) -> None:
        self.keeps = keep is not None
        self._root = keep
        self._lock: IO[str] | None = None
        self._short: dict[tuple[Any, ...], Record | None] = {}  # of the newest

    def __enter__(self) -> Store:
        """Make the folder and take it.

        Raises:
            UserError: another server writes there, or nobody can.
        """
        if self._root is None:
            self._root = _temporary()
        with _told_of(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self._root)
            shutil.rmtree(self._root / WORK, ignore_errors=True)
            (self._root / WORK).mkdir(mode=0o700)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.root / WORK if self.keeps else self.root, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    @property
    def root(self) -> Path:
        """The folder."""
        if self._root is None:
            raise ValueError("expected an open store")
        return self._root

    def open_folder(self, identity: str) -> Path:
        """Make a folder for a file that is to be judged.

        Raises:
            OSError: no room.
        """
        folder = self.root / WORK / identity
        folder.parent.mkdir(mode=0o700, exist_ok=True)  # who tidies up temporary files took it
        folder.mkdir(mode=0o700)
        return folder

    def settle(self, folder: Path, result: Record) -> Path:
        """Write a result into its folder, and put that where it belongs, whole or not at all.

        Raises:
            OSError: no room.
        """
        write_json(folder / RESULT, result)
        return folder.rename(self.root / folder.name)

    def read(self, identity: str) -> Record | None:
        """A result that was settled; None where there is none."""
        path = self.root / identity / RESULT
        try:
            if not is_id(identity) or path.parent.is_symlink():
                return None
            facts = path.lstat()
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > LARGEST_RESULT:
                return None
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return result if _is_result(result) and result["id"] == identity else None

    def picture(self, identity: str, name: str) -> Path | None:
        """A picture that a result names; None for anything else."""
        result = self.read(identity)
        if result is None or name not in _pictures(result):
            return None
        path = self.root / identity / name
        return path if path.is_file() and not path.is_symlink() else None

    def remove(self, identity: str) -> bool:
        """Remove a result; return whether there was one."""
        if self.read(identity) is None:
            return False
        shutil.rmtree(self.root / identity, ignore_errors=True)
        return True

    def newest(self, most: int, shorten: Callable[[Record], Record]) -> list[Record]:
        """What `shorten` leaves of the results that were settled last, the newest first.

        Each is read once, or again where it has changed: pages ask for this list all the time.
        """
        times: list[tuple[int, str]] = []
        with os.scandir(self.root) as entries:
            for entry in entries:
                with suppress(OSError):  # it has just been removed
                    if is_id(entry.name) and entry.is_dir(follow_symlinks=False):
                        times.append((entry.stat().st_mtime_ns, entry.name))
        known = self._short
        short: dict[tuple[Any, ...], Record | None] = {}
        for _, name in sorted(times, reverse=True)[:most]:
            key = name, *_version(self.root / name / RESULT)
            if key in known:
                short[key] = known[key]
            else:
                result = self.read(name)
                short[key] = None if result is None else shorten(result)
        self._short = short
        return [result for result in short.values() if result is not None]


def check_keep(keep: Path | None) -> None:
    """Look whether a store could be made there; nothing is left.

    Args:
        keep: As of `Store`.

    Raises:
        UserError: as `Store.__enter__`.
    """
    if keep is None:
        with _told_of_temporary():
            tempfile.TemporaryDirectory(prefix=PREFIX).cleanup()
        return
    with _told_of(keep):
        if (keep / LOCK).exists():
            _locked(keep).close()
        there = next(folder for folder in (keep, *keep.absolute().parents) if _is_there(folder))
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(4096))


def _is_there(path: Path) -> bool:
    """Whether something has this name, be it a link to nothing, in which no folder can be made."""
    return path.exists() or path.is_symlink()


@contextmanager
def _told_of(root: Path) -> Iterator[None]:
    """Turn what is wrong with a folder for results into one line."""
    try:
        yield
    except BlockingIOError as error:
        message = f"expected a folder of one server, another one keeps results in '{root}'"
        raise UserError(f"{message}; name another --keep", USAGE) from error
    except OSError as error:
        message = f"expected a folder for results, received '{root}': {error.strerror}"
        raise UserError(f"{message}; name another --keep", output_code(error)) from error


@contextmanager
def _told_of_temporary() -> Iterator[None]:
    """Turn what is wrong with the place for temporary files into one line."""
    try:
        yield
    except OSError as error:
        message = f"expected a place for temporary files, received: {error.strerror}"
        raise UserError(f"{message}; name one with TMPDIR", output_code(error)) from error


def _version(path: Path) -> tuple[int, ...]:
    try:
        facts = path.lstat()
    except OSError:
        return ()
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def _temporary() -> Path:
    """A new folder of this user alone; what killed servers left goes before.

    Raises:
        UserError: nothing can be written where temporary files go.
    """
    with _told_of_temporary():
        _sweep(Path(tempfile.gettempdir()))
        return Path(tempfile.mkdtemp(prefix=PREFIX))


def _is_result(value: Any) -> bool:
    """Whether something read has what lists, pictures and the page take of it."""
    if not isinstance(value, dict) or not {"id", "name", "status", "verdict"} <= value.keys():
        return False
    faces = value.get("faces")
    judged = value["status"] != JUDGED or isinstance(value["verdict"], str)
    return judged and isinstance(faces, list) and all(map(_is_face, faces))


def _is_face(value: Any) -> bool:
    moments = value.get("moments") if isinstance(value, dict) else None
    return isinstance(moments, list) and all(
        isinstance(one, dict) and isinstance(one.get("picture"), str) for one in moments
    )


def _pictures(result: dict[str, Any]) -> Iterator[str]:
    for face in result.get("faces") or ():
        yield from filter(None, [face.get("picture")])
        yield from (moment["picture"] for moment in face.get("moments") or ())
    yield from filter(None, [result.get("picture")])


def _locked(folder: Path) -> IO[str]:
    lock = (folder / LOCK).open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise
    return lock


def _sweep(folder: Path) -> None:
    """Remove what servers left that were killed: folders of this user that nobody holds."""
    for left in folder.glob(f"{PREFIX}*"):
        try:
            ours = left.is_dir() and not left.is_symlink() and left.stat().st_uid == os.geteuid()
            if not ours or not (left / LOCK).is_file():
                continue
            with _locked(left):
                shutil.rmtree(left, ignore_errors=True)
                log.warning("removed '%s', which a server that was killed had left", left)
        except OSError:  # it is in use, or has gone meanwhile
            continue
