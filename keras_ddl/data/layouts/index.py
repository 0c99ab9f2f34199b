"""Index of a dataset: what it lists, and what of it is there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from keras_ddl.data.layouts.identity import OPTION
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.errors import UserError

FEW = 5  # videos among which one person may well be in most

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Official:
    """A number of videos that a dataset's publisher states. A field that is None counts all.

    Args:
        videos: The number.
        dataset: As in `Video`, like the others.
    """

    videos: int
    dataset: str
    split: str | None = None
    label: int | None = None
    method: str | None = None
    compression: str | None = None

    def counts(self, video: Video) -> bool:
        """Whether a video is one of those counted."""
        names = ("dataset", "split", "label", "method", "compression")
        return all(getattr(self, name) in (None, getattr(video, name)) for name in names)


@dataclass(frozen=True)
class Index:
    """A dataset, read.

    Args:
        videos: The videos that are there, sorted by split, label, method, compression and id.
        missing: Videos that the dataset's lists name and that are not there, sorted alike.
        left_out: Videos that are there and in no split, because they show people of two.
        official: The publisher's numbers for the parts that are there.
        notes: What was left out or chosen, a line each.
        shared: Splits of the publisher's own whose people are in other splits too, as published.
        people: What the identities are taken from, in words, where that is only a rule; empty where
            the dataset says who is who.
    """

    videos: tuple[Video, ...]
    missing: tuple[Video, ...] = ()
    left_out: tuple[Video, ...] = ()
    official: tuple[Official, ...] = ()
    notes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    people: str = ""

    @classmethod
    def of(
        cls,
        listed: Iterable[Video],
        left_out: Iterable[Video] = (),
        official: Iterable[Official] = (),
        notes: Iterable[str] = (),
        shared: Iterable[str] = (),
        people: str = "",
    ) -> Index:
        """Sort the listed videos into those that are files and those that are missing."""
        there: list[Video] = []
        missing: list[Video] = []
        for video in sorted(listed, key=_order):
            (there if video.there else missing).append(video)
        mixed = [video for video in left_out if video.there]
        if mixed:
            reason = "they show people of two splits"
            notes = [*notes, f"{mixed[0].dataset}: left out {len(mixed)} videos: {reason}"]
        return cls(
            videos=tuple(there),
            missing=tuple(missing),
            left_out=tuple(mixed),
            official=tuple(official),
            notes=tuple(notes),
            shared=tuple(shared),
            people=people,
        )

    def joined(self, other: Index) -> Index:
        """Return both in one; this one's videos come first."""
        return Index(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def prefix_taken_for_a_person(self) -> str:
        """Return a line where the rule of `people` makes one person of most videos, else ""."""
        counts = Counter(person for video in self.videos for person in video.identities)
        if not self.people or len(self.videos) < FEW:
            return ""
        (person, count), *_ = counts.most_common(1)
        if count <= len(self.videos) / 2:
            return ""
        return (
            f"{person} is in {count} of {len(self.videos)} videos, by {self.people}; where that is "
            f"no person, say who is who with {OPTION} PATTERN"
        )

    def present(self) -> Iterator[Video]:
        """Yield the videos that are there; log the notes, and warn of the missing ones
        and of a rule that makes one person of most videos.

        Raises:
            UserError: If not one is there.
        """
        for note in self.notes:
            _log.info("%s", note)
        if self.missing:
            _log.warning(
                "%d of %d listed videos are missing, the first is %s",
                len(self.missing),
                len(self.missing) + len(self.videos),
                self.missing[0].path,
            )
        if prefix := self.prefix_taken_for_a_person():
            _log.warning("%s", prefix)
        if not self.videos:
            first = f", the first is {self.missing[0].path}" if self.missing else ""
            raise UserError(
                f"expected videos, received none: {len(self.missing)} listed are missing{first}; "
                "unpack the videos, or name the folder that holds them"
            )
        yield from self.videos


def dataset_folder(root: Path) -> Path:
    """Return `root`, or raise a UserError where it is no folder."""
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"expected a dataset folder, received {root}, which is not one")
    return root


def _order(video: Video) -> tuple[int, int, str, str, str]:
    split = SPLITS.index(video.split)
    return (split, video.label, video.method, video.compression, video.video_id)
