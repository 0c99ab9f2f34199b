"""File at hand: a file of this machine, or one that is fetched from its store, and its SHA-256."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.scanning.files import Candidate, is_picture
from deploy.scanning.kit import Options
from deploy.scanning.progress import TELL_S
from keras_ddl.edge.errors import USAGE, UserError
from keras_ddl.edge.storage.spool import Spool
from keras_ddl.edge.video import probe


@contextmanager
def file_at_hand(
    candidate: Candidate, options: Options, tell: Callable[[float], None]
) -> Iterator[tuple[Path, str]]:
    """Yield where a file can be read and its SHA-256; one of a store is fetched.

    Where nobody says that it is a video, it is looked whether it can be one.
    """
    if (stored := candidate.stored) is not None:
        with Spool(options.spool).fetched(stored, lambda share: tell(0.0)) as (path, sha256):
            if not candidate.expected and not is_picture(path):
                probe(path, options.most_pixels)
            yield path, sha256
        return
    path = Path(candidate.path)
    try:
        if not candidate.expected and not is_picture(path):
            probe(path, options.most_pixels)
        sha256 = _sha256(path, tell)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", USAGE) from error
    yield path, sha256


def _sha256(path: Path, tell: Callable[[float], None]) -> str:
    """Hash a file; a large one tells now and then that it is alive."""
    digest = hashlib.sha256()
    told = time.monotonic()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            if time.monotonic() - told > TELL_S:
                told = time.monotonic()
                tell(0.0)
    return digest.hexdigest()
