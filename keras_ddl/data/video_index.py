"""Row of a dataset's index, the same for every layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from keras_ddl.edge.files import printable
from keras_ddl.edge.storage.address import Address
from keras_ddl.edge.storage.spool import Spool
from keras_ddl.edge.storage.store import StoredFile

SPLITS = ("train", "val", "test")
"""The three parts of a dataset, in the order in which they are used."""

CLASSES = ("real", "fake")
"""What the labels 0 and 1 stand for."""

VIDEO_SUFFIXES = frozenset((".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"))
"""File names that a layout takes for videos; whether they are is found out on decoding."""


@dataclass(frozen=True, slots=True)
class Video:
    """A labelled video file.

    Args:
        path: The file, or its address.
        label: 0 = real, 1 = fake, in every dataset.
        dataset: Name of the dataset.
        method: How the fake was made; `"real"` for reals.
        compression: Compression level where the dataset has several, else `""`.
        video_id: The video's name, unique within (dataset, method, compression).
        identities: The people in it; splits by identity go by these.
        split: `"train"`, `"val"` or `"test"`.
        original: `video_id` of the real video that a fake was made from, of the same dataset and
            compression; empty where it is not known.
        source: Where the video was taken from, such as a channel or a project; empty where it is
            not known.
        mask: Video of the manipulated region, same frames, where the dataset has one.
        stored: The facts of a file in a store.

    A name that is not UTF-8 shows its bytes (`\\xNN`) in every field but the paths.

    Raises:
        ValueError: If label or split is not one of the values above.
    """

    path: Path | Address
    label: int
    dataset: str
    method: str
    compression: str
    video_id: str
    identities: tuple[str, ...]
    split: str
    original: str = ""
    source: str = ""
    mask: Path | None = None
    stored: StoredFile | None = None

    def __post_init__(self) -> None:
        if self.label not in (0, 1):
            raise ValueError(f"label: expected 0 (real) or 1 (fake), received {self.label!r}")
        if self.split not in SPLITS:
            raise ValueError(f"split: expected one of {', '.join(SPLITS)}; received {self.split!r}")
        for name in ("dataset", "method", "compression", "video_id", "original", "source"):
            object.__setattr__(self, name, printable(getattr(self, name)))
        object.__setattr__(self, "identities", tuple(map(printable, self.identities)))

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What names a video. The stem alone does not: methods share stems."""
        return (self.dataset, self.method, self.compression, self.video_id)

    @property
    def there(self) -> bool:
        """Whether the file is there, as far as its listing knows."""
        return self.stored is not None if isinstance(self.path, Address) else self.path.is_file()

    @contextmanager
    def here(self, spool: str = "") -> Iterator[Path]:
        """Yield the file's path; one in a store is fetched for as long as this lasts.

        Args:
            spool: As of `Spool`.

        Raises:
            UserError: As `Store.download`.
            OSError: No room.
        """
        if self.stored is None:
            yield Path(self.path)
            return
        with Spool(spool).fetched(self.stored) as (path, _):
            yield path
