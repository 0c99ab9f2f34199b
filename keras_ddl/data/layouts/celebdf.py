"""Celeb-DF v1, v2 and ++: `{Celeb-real,YouTube-real,Celeb-synthesis}`, the list of test videos."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from keras_ddl.data.layouts.held_out import ONLY_VAL, hold_out_if_possible
from keras_ddl.data.layouts.index import Index, Official, dataset_folder
from keras_ddl.data.video_index import VIDEO_SUFFIXES, Video
from keras_ddl.edge.errors import UserError

LABELS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
TEST_LIST = "List_of_testing_videos.txt"
LIST_LABELS = {"1": 0, "0": 1}  # the list says 1 for real
V2_TEST_VIDEOS = 518
V1, V2, PLUS = "Celeb-DF-v1", "Celeb-DF-v2", "Celeb-DF++"
REALS = 890
"""Of v2; those of ++ are the same videos."""
OFFICIAL = {
    V1: (Official(408, V1, label=0), Official(795, V1, label=1)),
    V2: (
        Official(REALS, V2, label=0),
        Official(5639, V2, label=1),
        Official(V2_TEST_VIDEOS, V2, split="test"),
    ),
    PLUS: (Official(REALS, PLUS, label=0), Official(178, PLUS, split="test", label=0)),
}
TEST_FAKES = {"FaceSwap": 200, "FaceReenact": 200, "TalkingFace": 300}
"""Test videos of every method of ++, by the folder that the method lies in (its page, "Training and
Testing Split": https://github.com/OUC-VAS/Celeb-DF-PP)."""
_NAMES = {
    "Celeb-real": re.compile(r"(id\d+)_\d+"),
    "YouTube-real": re.compile(r"\d+"),
    "Celeb-synthesis": re.compile(r"(id\d+)_(id\d+)_\d+"),
}
_METHOD_NAMES = re.compile(r"(id\d+)_(?:(id\d+)_)?\d+(?:_.*)?")  # a voice comes from nobody here
_LEVEL = "videos"  # of some copies, between a folder and its files


def celebdf(root: Path) -> Index:
    """Index Celeb-DF.

    Fakes in folders of their methods, `Celeb-synthesis/FaceSwap/SimSwap`, make it Celeb-DF++, and
    the method is then these two folders; else a list of 518 videos makes it version 2, any other
    version 1. The test part is the published list. Validation people are held out from the rest
    (`keras_ddl.data.layouts.held_out`), separately among the celebrities and the strangers of
    `YouTube-real`; fakes of a held-out and a kept celebrity are left out. Where too few people are
    there to hold any out, the rest is for training and a note says so.

    The published list is by video: nearly every celebrity in it is in the rest, too. Scores on
    the test part are comparable with others' and say little about unknown people.

    Args:
        root: The folder that holds the three folders (each may have a `videos` level) and the
            list.

    Returns:
        Its index; a `video_id` is the path below `root` without suffix and `videos` level.

    Raises:
        UserError: If the list or all folders are missing, or a line is malformed or contradicts
            its folder.
    """
    root = dataset_folder(root)
    folders = {name: _folder(root, name) for name in LABELS}
    if not any(folder.is_dir() for folder in folders.values()):
        raise UserError(f"expected Celeb-DF, received {root}, which holds none of {list(LABELS)}")
    listed = _test_list(root / TEST_LIST)
    files = {name: _files(folder) for name, folder in folders.items()}
    nested = any(_method(name, inner) for name, inner in (*listed, *_each(files)))
    dataset = PLUS if nested else V2 if len(listed) == V2_TEST_VIDEOS else V1
    test: dict[str, Video] = {}
    for name, inner in listed:
        path = files[name].get(inner.with_suffix(""), folders[name] / inner)
        video = _video(dataset, name, inner, path, "test")
        if video is None:
            raise UserError(f"{root / TEST_LIST}: {name}/{inner} is no Celeb-DF file name")
        test[video.video_id] = video
    rest: list[Video] = []
    unlike: dict[Path, list[Path]] = {}
    for name, inner in _each(files):
        path = files[name][inner]
        video = _video(dataset, name, inner, path, "train")
        if video is None:
            unlike.setdefault(path.parent, []).append(path)
        elif video.video_id not in test:
            rest.append(video)
    return _index(dataset, rest, test, unlike)


def _index(
    dataset: str, rest: list[Video], test: dict[str, Video], unlike: dict[Path, list[Path]]
) -> Index:
    """Hold validation people out of the rest, and note what is not used."""
    strange = {video.video_id for video in rest if video.video_id.startswith("YouTube")}
    strangers, _, few = hold_out_if_possible([v for v in rest if v.video_id in strange], ONLY_VAL)
    celebrities, mixed, fewer = hold_out_if_possible(
        [v for v in rest if v.video_id not in strange], ONLY_VAL
    )
    left_out = [
        f"{folder}: left out {len(paths)} files, the first is {paths[0].name}: "
        "they are not named like Celeb-DF's videos"
        for folder, paths in unlike.items()
    ]
    videos = [*strangers, *celebrities, *test.values()]
    official = OFFICIAL[dataset]
    if dataset == PLUS:
        methods = sorted({video.method for video in videos if video.label})
        official += tuple(
            Official(TEST_FAKES[method.partition("/")[0]], PLUS, "test", 1, method)
            for method in methods
            if method.partition("/")[0] in TEST_FAKES
        )
    return Index.of(videos, mixed, official, [*few, *fewer, *left_out], shared=["test"])


def _folder(root: Path, name: str) -> Path:
    """Return a folder of videos; copies differ in capitals."""
    found = (child for child in sorted(root.iterdir()) if child.name.lower() == name.lower())
    return next((child for child in found if child.is_dir()), root / name)


def _files(folder: Path) -> dict[PurePosixPath, Path]:
    """Return the videos of a folder and of its methods by their path in it, without suffix."""
    found = [path for depth in range(1, 5) for path in folder.glob("/".join("*" * depth))]
    return {
        _inner(path.relative_to(folder).parts).with_suffix(""): path
        for path in sorted(found)
        if path.suffix.lower() in VIDEO_SUFFIXES
    }


def _each(files: dict[str, dict[PurePosixPath, Path]]) -> Iterator[tuple[str, PurePosixPath]]:
    return ((name, inner) for name, paths in files.items() for inner in paths)


def _inner(parts: Iterable[str]) -> PurePosixPath:
    """A path without the level that only some copies have."""
    return PurePosixPath(*(part for part in parts if part != _LEVEL))


def _test_list(path: Path) -> list[tuple[str, PurePosixPath]]:
    """Return the listed videos as folder and path in it, checked against the inverted labels."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or f"no UTF-8 text ({error})"
        raise UserError(
            f"expected {path}, received: {reason}; it comes with the dataset and says "
            "which videos are for testing"
        ) from error
    capitals = {name.lower(): name for name in LABELS}
    listed = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        label, _, file = line.strip().partition(" ")
        parts = PurePosixPath(file.strip().replace("\\", "/")).parts
        name = capitals.get(parts[0].lower()) if len(parts) > 1 else None
        if label not in LIST_LABELS or name is None or ".." in parts:
            raise UserError(
                f'{path}, line {number}: expected such as "1 YouTube-real/00170.mp4", '
                f"received {line!r}"
            )
        if LIST_LABELS[label] != LABELS[name]:
            raise UserError(
                f"{path}, line {number}: {line!r} contradicts its folder; in the published list "
                "1 is real and 0 is fake: take that one"
            )
        listed.append((name, _inner(parts[1:])))
    return listed


def _method(name: str, inner: PurePosixPath) -> str:
    """The folders of a fake's method in ++, "" in the other versions."""
    return inner.parent.as_posix() if LABELS[name] and len(inner.parts) > 1 else ""


def _video(dataset: str, name: str, inner: PurePosixPath, path: Path, split: str) -> Video | None:
    method = _method(name, inner)
    match = (_METHOD_NAMES if method else _NAMES[name]).fullmatch(PurePosixPath(path.name).stem)
    if match is None:
        return None
    video_id = f"{name}/{inner.with_suffix('').as_posix()}"
    people = tuple(person for person in match.groups() if person)
    return Video(
        path=path,
        label=LABELS[name],
        dataset=dataset,
        method=(method or name) if LABELS[name] else "real",
        compression="",
        video_id=video_id,
        identities=people or (video_id,),
        split=split,
    )
