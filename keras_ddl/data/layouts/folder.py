"""Plain folders: `root/{train,val,test}/{real,fake}/**`, without splits `root/{real,fake}`, or
reals alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

from keras_ddl.data.layouts.held_out import SPLIT_SEED, hold_out
from keras_ddl.data.layouts.identity import IdentityRule
from keras_ddl.data.layouts.index import Index, dataset_folder
from keras_ddl.data.video_index import CLASSES, SPLITS, VIDEO_SUFFIXES, Video
from keras_ddl.edge.errors import UserError

_SUSPICIOUS = ("fake", "manip", "swap", "synth", "generated", "forg")

_log = logging.getLogger(__name__)


def folder(root: Path, seed: int = SPLIT_SEED, identity: str = "") -> Index:
    """Index a plain folder.

    With `train`, `val` and `test` folders the splits are taken as they are. Without them, whole
    identities are held out: an identity is the file name up to its first underscore
    (`id007_talk.mp4` → `id007`) or what a pattern finds, identities are shuffled with `seed`, and
    15 % each go to validation and test (at least one each). A pattern may find several people in
    a video, which ties them together (`keras_ddl.data.layouts.held_out`).

    A folder with neither holds real videos alone, of which pseudo-fakes can be made: directly in it
    as above, or in a folder for each person.

    Args:
        root: The folder.
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
    root, rule = dataset_folder(root), IdentityRule(identity)
    people = str(rule)
    given = [split for split in SPLITS if (root / split).is_dir()]
    if given:
        videos = [video for split in given for video in _part(root, root / split, split, rule)]
        mixed: list[Video] = []
    else:
        sorted_out = any((root / name).is_dir() for name in CLASSES)
        found = list(_part(root, root, "train", rule) if sorted_out else _reals(root, rule))
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


def _reals(root: Path, rule: IdentityRule) -> Iterator[Video]:
    """The videos of a folder of reals."""
    named = [path.name for path in sorted(root.iterdir()) if path.is_dir()]
    for name in named:
        if any(word in name.lower() for word in _SUSPICIOUS):
            raise UserError(
                f"{root}: expected folders real and fake, or real videos alone, received a folder "
                f"{name}; sort the videos into real/ and fake/, or name --layout"
            )
    videos = _videos_below(root)
    if videos:
        _log.warning("%s has no folders real and fake: its %d videos are real", root, len(videos))
    for path in videos:
        inner = path.relative_to(root)
        own = len(inner.parts) > 1 and not rule.pattern  # a folder for each person
        yield Video(
            path=path,
            label=0,
            dataset=root.resolve().name,
            method=CLASSES[0],
            compression="",
            video_id=inner.as_posix(),
            identities=(inner.parts[0],) if own else rule.people(inner),
            split="train",
        )


def _videos_below(base: Path) -> list[Path]:
    """Videos by name, sorted; says what else is there."""
    files = sorted(f for f in base.rglob("*") if f.is_file() and not f.name.startswith("."))
    others = [f for f in files if f.suffix.lower() not in VIDEO_SUFFIXES]
    if others:
        _log.warning(
            "%s: left out %d files that are not videos by name, the first is %s",
            base,
            len(others),
            others[0].name,
        )
    return sorted(set(files) - set(others))


def _part(root: Path, part: Path, split: str, rule: IdentityRule) -> Iterator[Video]:
    for label, name in enumerate(CLASSES):
        base = part / name
        for path in _videos_below(base):
            inner = path.relative_to(base)
            method = inner.parts[0] if label == 1 and len(inner.parts) > 1 else name
            yield Video(
                path=path,
                label=label,
                dataset=root.resolve().name,
                method=method,
                compression="",
                video_id=inner.as_posix(),
                identities=rule.people(inner),
                split=split,
            )
