"""Plain folders: `root/{train,val,test}/{real,fake}/**`, without splits `root/{real,fake}`, or
reals alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from keras_ddl.data.layouts.dataset_files import DatasetFile, DatasetFiles
from keras_ddl.data.layouts.held_out import SPLIT_SEED, hold_out
from keras_ddl.data.layouts.identity import IdentityRule
from keras_ddl.data.layouts.index import Index
from keras_ddl.data.video_index import CLASSES, SPLITS, VIDEO_SUFFIXES, Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.storage.address import Address

_SUSPICIOUS = ("fake", "manip", "swap", "synth", "generated", "forg")

_log = logging.getLogger(__name__)


def folder(root: Path | Address, seed: int = SPLIT_SEED, identity: str = "") -> Index:
    """Index a plain folder.

    With `train`, `val` and `test` folders the splits are taken as they are. Without them, whole
    identities are held out: an identity is the file name up to its first underscore
    (`id007_talk.mp4` → `id007`) or what a pattern finds, identities are shuffled with `seed`, and
    15 % each go to validation and test (at least one each). A pattern may find several people in
    a video, which ties them together (`keras_ddl.data.layouts.held_out`).

    A folder with neither holds real videos alone, of which pseudo-fakes can be made: directly in it
    as above, or in a folder for each person.

    Args:
        root: The folder, or its address.
        seed: Seed of the held-out split; unused where the folders carry splits.
        identity: Pattern of an `IdentityRule`.

    Returns:
        The index, sorted by split, class and path. The method is the class name, or the first
        folder below `fake/`; `video_id` is the path below the class folder.

    Raises:
        UserError: If there is no such folder, no video in it, a video in which the pattern finds
            nobody, or too few identities to hold out; also if a folder's name sounds of fakes where
            all are to be real.
    """
    files, rule = DatasetFiles(root), IdentityRule(identity)
    people, folders = str(rule), files.folders()
    given = [split for split in SPLITS if split in folders]
    if given:
        videos = [video for split in given for video in _part(files, f"{split}/", split, rule)]
        mixed: list[Video] = []
    else:
        sorted_out = any(name in folders for name in CLASSES)
        found = list(_part(files, "", "train", rule) if sorted_out else _reals(files, rule))
        if not (sorted_out or rule.pattern) and any("/" in v.video_id for v in found):
            people = f"their folders, or {people}"
        if found:
            rule.check_held_out(found)
        videos, mixed = hold_out(found, seed=seed)
        videos.sort(key=lambda v: SPLITS.index(v.split))
    if not videos:
        raise UserError(
            f"{root} holds no video; expected {{train,val,test}}/{{real,fake}}/*.mp4, "
            "{real,fake}/*.mp4, or real videos alone in it"
        )
    note = [f"{root.name}: left out {len(mixed)} videos: they show people of two splits"]
    return Index(
        tuple(videos), left_out=tuple(mixed), notes=tuple(note if mixed else ()), people=people
    )


def _reals(files: DatasetFiles, rule: IdentityRule) -> Iterator[Video]:
    """The videos of a folder of reals."""
    for name in files.folders():
        if any(word in name.lower() for word in _SUSPICIOUS):
            raise UserError(
                f"{files.root}: expected folders real and fake, or real videos alone, received a "
                f"folder {name}; sort the videos into real/ and fake/, or name --layout"
            )
    videos = _videos_below(files, "")
    if videos:
        count = len(videos)
        _log.warning("%s has no folders real and fake: its %d videos are real", files.root, count)
    for video in videos:
        inner = video.inner
        own = len(inner.parts) > 1 and not rule.pattern  # a folder for each person
        people = (inner.parts[0],) if own else rule.people(inner)
        yield _video(files, video, 0, CLASSES[0], people, "train")


def _videos_below(files: DatasetFiles, name: str) -> list[DatasetFile]:
    """Videos by name, sorted; says what else is there."""
    found = files.below(name)
    others = [f for f in found if f.inner.suffix.lower() not in VIDEO_SUFFIXES]
    if others:
        _log.warning(
            "%s: left out %d files that are not videos by name, the first is %s",
            files.root / name if name else files.root,
            len(others),
            others[0].inner.name,
        )
    return [f for f in found if f.inner.suffix.lower() in VIDEO_SUFFIXES]


def _part(files: DatasetFiles, part: str, split: str, rule: IdentityRule) -> Iterator[Video]:
    for label, name in enumerate(CLASSES):
        for video in _videos_below(files, f"{part}{name}"):
            inner = video.inner
            method = inner.parts[0] if label == 1 and len(inner.parts) > 1 else name
            yield _video(files, video, label, method, rule.people(inner), split)


def _video(
    files: DatasetFiles,
    video: DatasetFile,
    label: int,
    method: str,
    people: tuple[str, ...],
    split: str,
) -> Video:
    return Video(
        path=video.path,
        label=label,
        dataset=files.name,
        method=method,
        compression="",
        video_id=video.inner.as_posix(),
        identities=people,
        split=split,
        stored=video.stored,
    )
