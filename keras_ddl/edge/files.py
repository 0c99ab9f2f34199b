"""Files read with clear errors, and atomic writes: a file is there whole or not at all."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_ddl.edge.errors import UserError

PART = ".part"  # how a file ends that is being written
_NUMBERS = itertools.count()  # threads may write to one path


def read_json(path: Path) -> Any:
    """Read a JSON file; a UserError names one that is not there or not JSON."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    return parse_json(content, path)


def parse_json(content: bytes, place: Path | str) -> Any:
    """Return what a JSON file holds; a UserError names its place where that is not JSON."""
    try:
        return json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # the latter of nested brackets
        raise UserError(f"{place} is not valid JSON: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all."""
    write_text(path, _json_text(value))


def json_bytes(value: Any) -> bytes:
    """Return what `write_json` writes."""
    return _json_text(value).encode("utf-8", "backslashreplace")


def _json_text(value: Any) -> str:
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, whole or not at all.

    Bytes of a file's name that are no UTF-8 become an escape such as backslash udce9, which JSON
    reads as that very name again.
    """
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, so that a power cut right after this keeps it.

    Raises:
        OSError: no room, no folder, no permission; nothing is left behind.
    """
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a hidden name beside `path` to write to; it becomes `path` once the block is done.

    A block that fails leaves the earlier file, if there is one, and nothing else. One whose process
    is killed leaves the hidden file, which ends with `PART`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{next(_NUMBERS)}{PART}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Wait until a folder's names have reached the disk, where the system can tell (POSIX)."""
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def printable(path: Path | str) -> str:
    """A path as text that any encoding takes; bytes that are no UTF-8 show as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
