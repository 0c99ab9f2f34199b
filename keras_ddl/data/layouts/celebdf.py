"""Celeb-DF v1 and v2: `{Celeb-real,YouTube-real,Celeb-synthesis}` and the list of test videos."""

from __future__ import annotations

import re
from pathlib import Path

from keras_ddl.data.layouts.held_out import ONLY_VAL, hold_out
from keras_ddl.data.layouts.index import Index, Official, dataset_folder
from keras_ddl.data.video_index import VIDEO_SUFFIXES, Video
from keras_ddl.edge.errors import UserError

LABELS = {"Celeb-real": 0, "YouTube-real": 0, "Celeb-synthesis": 1}
TEST_LIST = "List_of_testing_videos.txt"
LIST_LABELS = {"1": 0, "0": 1}  # the list says 1 for real
V2_TEST_VIDEOS = 518
V1, V2 = "Celeb-DF-v1", "Celeb-DF-v2"
OFFICIAL = {
    V1: (Official(408, V1, label=0), Official(795, V1, label=1)),
    V2: (
        Official(890, V2, label=0),
        Official(5639, V2, label=1),
        Official(V2_TEST_VIDEOS, V2, split="test"),
    ),
}
_NAMES = {
    "Celeb-real": re.compile(r"(id\d+)_\d+"),
    "YouTube-real": re.compile(r"\d+"),
    "Celeb-synthesis": re.compile(r"(id\d+)_(id\d+)_\d+"),
}


def celebdf(root: Path) -> Index:
    """Index Celeb-DF.

    The test part is the published list; a list of 518 videos makes it version 2, any other
    version 1. Validation people are held out from the rest (`keras_ddl.data.layouts.held_out`),
    separately among the celebrities and the strangers of `YouTube-real`; fakes of a held-out and
    a kept celebrity are left out.

    The published list is by video: nearly every celebrity in it is in the rest, too. Scores on
    the test part are comparable with others' and say little about unknown people.

    Args:
        root: The folder that holds the three folders (each may have a `videos` level) and the
            list.

    Returns:
        Its index; a `video_id` is folder and stem.

    Raises:
        UserError: If the list or all folders are missing, a line is malformed or contradicts its
            folder, or there are too few people to hold out.
    """
    root = dataset_folder(root)
    folders = {name: _folder(root, name) for name in LABELS}
    if not any(folder.is_dir() for folder in folders.values()):
        raise UserError(f"expected Celeb-DF, received {root}, which holds none of {list(LABELS)}")
    listed = _test_list(root / TEST_LIST)
    dataset = V2 if len(listed) == V2_TEST_VIDEOS else V1
    test: dict[str, Video] = {}
    rest: list[Video] = []
    notes: list[str] = []
    for name, file_name in listed:
        video = _video(dataset, name, folders[name] / file_name, "test")
        if video is None:
            raise UserError(f"{root / TEST_LIST}: {name}/{file_name} is no Celeb-DF file name")
        test[video.video_id] = video
    for name, folder in folders.items():
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        for path in (file for file in files if file.suffix.lower() in VIDEO_SUFFIXES):
            video = _video(dataset, name, path, "train")
            if video is None:
                notes.append(f"{path}: left out, it is not named like Celeb-DF's videos")
            elif video.video_id not in test:
                rest.append(video)
    strangers, _ = hold_out([v for v in rest if v.video_id.startswith("YouTube")], ONLY_VAL)
    celebrities, mixed = hold_out(
        [v for v in rest if not v.video_id.startswith("YouTube")], ONLY_VAL
    )
    videos = [*strangers, *celebrities, *test.values()]
    return Index.of(videos, mixed, OFFICIAL[dataset], notes, shared=["test"])


def _folder(root: Path, name: str) -> Path:
    """Return a folder of videos; copies differ in a `videos` level and in capitals."""
    found = (child for child in sorted(root.iterdir()) if child.name.lower() == name.lower())
    folder = next((child for child in found if child.is_dir()), root / name)
    return folder / "videos" if (folder / "videos").is_dir() else folder


def _test_list(path: Path) -> list[tuple[str, str]]:
    """Return the listed videos as folder and file name, checked against the inverted labels."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UserError(
            f"expected {path}, received: {error.strerror}; it comes with the dataset and says "
            "which videos are for testing"
        ) from error
    capitals = {name.lower(): name for name in LABELS}
    listed = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        label, _, file = line.strip().partition(" ")
        parts = Path(file.strip()).parts
        name = capitals.get(parts[0].lower()) if len(parts) > 1 else None
        if label not in LIST_LABELS or name is None:
            raise UserError(
                f'{path}, line {number}: expected such as "1 YouTube-real/00170.mp4", '
                f"received {line!r}"
            )
        if LIST_LABELS[label] != LABELS[name]:
            raise UserError(
                f"{path}, line {number}: {line!r} contradicts its folder; in the published list "
                "1 is real and 0 is fake: take that one"
            )
        listed.append((name, parts[-1]))
    return listed


def _video(dataset: str, name: str, path: Path, split: str) -> Video | None:
    match = _NAMES[name].fullmatch(path.stem)
    if match is None:
        return None
    video_id = f"{name}/{path.stem}"
    return Video(
        path=path,
        label=LABELS[name],
        dataset=dataset,
        method=name if LABELS[name] else "real",
        compression="",
        video_id=video_id,
        identities=match.groups() or (video_id,),
        split=split,
    )
