"""DFDC: `dfdc_train_part_*`, Kaggle's `train_sample_videos`, and the labelled test set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_ddl.data.layouts.held_out import hold_out_if_possible
from keras_ddl.data.layouts.index import Index, Official, dataset_folder
from keras_ddl.data.layouts.rows import read_rows
from keras_ddl.data.video_index import VIDEO_SUFFIXES, Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json

DATASET = "DFDC"
SAMPLE_DATASET = "DFDC-sample"
TEST_DATASET = "DFDC-test"
TRAINING_VIDEOS = 119_154
SPLIT_OF_PART = {
    **dict.fromkeys(range(35), "train"),
    **dict.fromkeys(range(35, 40), "val"),
    **dict.fromkeys(range(40, 50), "test"),
}
LABELS = {"REAL": 0, "FAKE": 1}
METADATA = "metadata.json"
TABLE = "labels.csv"
SAMPLE_FOLDERS = ("train_sample_videos", "")
"""Where a folder of labelled training videos that is no part of 0 to 49 is looked for."""
TEST_FOLDERS = ("", "test", "test_videos")
"""Where the labels of the test set are looked for, below the root."""
TEST_VIDEO_FOLDERS = ("", "videos", "test", "test_videos")
"""Where its videos are looked for, below the folder of `labels.csv`."""
TEST_LABEL = "is_fake"
"""What an entry of the test set's `metadata.json` has in place of `label`: 0 or 1."""
UNLABELLED = "test_videos"
"""Kaggle's folder of test videos, whose labels it does not give."""

_PART = re.compile(r"dfdc_train_part_(\d+)")


@dataclass(frozen=True)
class _Clip:
    """A line of a metadata file; `part` is -1 where the folder is no part of 0 to 49."""

    path: Path
    part: int
    label: int
    original: str


def dfdc(root: Path) -> Index:
    """Index DFDC, or what Kaggle gives of it.

    Parts 0 to 34 are for training, 35 to 39 for validation, 40 to 49 for test. A fake goes where
    its original is, so that both are in one split; where the original is not listed, its fakes
    go together, with the first part that has one.

    Where there are no parts, one folder with a `metadata.json` of training videos is taken, such as
    Kaggle's `train_sample_videos`: the dataset `DFDC-sample`, of which originals are held out with
    their fakes (`keras_ddl.data.layouts.held_out`); of too few nobody is.

    The labelled test set, where it is there, is a dataset of its own, `DFDC-test`.

    Args:
        root: The folder that holds `dfdc_train_part_*` (each perhaps in another such folder, as
            they are packed) or `train_sample_videos`, or one of these folders itself; and, itself
            or in `test`, `labels.csv` with its videos beside it or one folder below, or a
            `metadata.json` that says `is_fake`.

    Returns:
        Its index. The method is not published: it is `fake`. The identity is the original's stem:
        who is in it is not published either.

    Raises:
        UserError: If there is none of these, or one of the files is malformed.
    """
    root = dataset_folder(root)
    parts, unknown = _parts(root)
    videos = list(_videos([clip for part in sorted(parts) for clip in _clips(part, parts[part])]))
    official = [Official(TRAINING_VIDEOS, DATASET)] if videos else []
    notes = [f"{folder}: left out, DFDC's parts are 0 to 49" for folder in unknown]
    sample = _sample(root)
    mixed: list[Video] = []
    if sample and not videos:
        clips = _videos(list(_clips(-1, sample)))
        videos, mixed, notes = hold_out_if_possible(list(clips))
    elif sample:
        notes.append(f"{sample}: left out, its videos are those of the parts")
    tested = _tested(root)
    if not tested and (unlabelled := _unlabelled(root)):
        notes.append(
            f"{unlabelled}: left out, Kaggle gives no labels for these videos; "
            "deploy/scan.py judges them without"
        )
    if not videos and not tested:
        raise UserError(
            f"expected DFDC, received {root}, which holds neither dfdc_train_part_*/{METADATA} nor "
            f"train_sample_videos/{METADATA} nor {TABLE}{''.join(f'; {note}' for note in notes)}"
        )
    return Index.of([*videos, *tested], mixed, official, notes)


def _parts(root: Path) -> tuple[dict[int, Path], list[Path]]:
    """Return the folders of parts 0 to 49 by number, and those of other numbers."""
    near = [path for path in sorted(root.iterdir()) if _PART.fullmatch(path.name)]
    inside = [path for outer in near if outer.is_dir() for path in sorted(outer.iterdir())]
    found = {
        int(match[1]): path
        for path in (*inside, *near)
        if (match := _PART.fullmatch(path.name)) and (path / METADATA).is_file()
    }
    unknown = [path for part, path in sorted(found.items()) if part not in SPLIT_OF_PART]
    return {part: path for part, path in found.items() if part in SPLIT_OF_PART}, unknown


def _sample(root: Path) -> Path | None:
    """The folder of labelled training videos that is no part, where there is one."""
    found = (root / name for name in SAMPLE_FOLDERS if (root / name / METADATA).is_file())
    return next((path for path in found if not _says_is_fake(_entries(path))), None)


def _unlabelled(root: Path) -> Path | None:
    """Kaggle's test videos, where nothing else is known of them."""
    folder = root if root.name == UNLABELLED else root / UNLABELLED
    there = folder.is_dir() and any(f.suffix.lower() in VIDEO_SUFFIXES for f in folder.iterdir())
    return folder if there else None


def _entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of a folder's metadata by file name."""
    path = folder / METADATA
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected an object by file name; download it again")
    for name, entry in entries.items():
        if not isinstance(entry, dict) or Path(name).name != name:
            raise UserError(
                f"{path}: expected a label REAL or FAKE by file name, received {name!r}: {entry!r}"
            )
    return entries


def _says_is_fake(entries: dict[str, dict[str, Any]]) -> bool:
    return any(TEST_LABEL in entry for entry in entries.values())


def _clips(part: int, folder: Path) -> Iterator[_Clip]:
    for name, entry in _entries(folder).items():
        label = LABELS.get(str(entry.get("label")).upper())
        original = entry.get("original") if label else None
        if label is None or not isinstance(original, str | None):
            raise UserError(
                f"{folder / METADATA}: {name}: expected a label REAL or FAKE and the file name of "
                f"its original, received {entry!r}"
            )
        yield _Clip(folder / name, part, label, Path(original or name).stem)


def _videos(clips: list[_Clip]) -> Iterator[Video]:
    """Yield the clips, each in the split of its original's part."""
    part_of: dict[str, int] = {}
    for clip in sorted(clips, key=lambda clip: (clip.path.stem != clip.original, clip.part)):
        part_of.setdefault(clip.original, clip.part)

    def name(part: int, stem: str) -> str:
        return stem if part < 0 else f"{part:02d}/{stem}"

    for clip in clips:
        yield Video(
            path=clip.path,
            label=clip.label,
            dataset=DATASET if clip.part >= 0 else SAMPLE_DATASET,
            method="fake" if clip.label else "real",
            compression="",
            video_id=name(clip.part, clip.path.stem),
            identities=(clip.original,),
            split=SPLIT_OF_PART.get(part_of[clip.original], "train"),
            original=name(part_of[clip.original], clip.original) if clip.label else "",
        )


def _tested(root: Path) -> list[Video]:
    """Return the videos of the labelled test set, of a table or of its metadata."""
    for folder in (root / name for name in TEST_FOLDERS):
        if (folder / TABLE).is_file():
            return _labelled(folder / TABLE)
        if (folder / METADATA).is_file() and _says_is_fake(entries := _entries(folder)):
            return [
                _test_video(folder / METADATA, folder / name, entry.get(TEST_LABEL))
                for name, entry in entries.items()
            ]
    return []


def _labelled(table: Path) -> list[Video]:
    """Return the videos that a table names."""
    _, rows = read_rows(table, ("filename", "label"))
    folders = [table.parent / name for name in TEST_VIDEO_FOLDERS]
    first = rows[0][1]["filename"]
    folder = next((f for f in folders if first and (f / first).is_file()), table.parent)
    videos = []
    for number, row in rows:
        name = Path(row["filename"])
        inside = not name.is_absolute() and ".." not in name.parts
        if row["label"] not in ("0", "1") or not row["filename"] or not inside:
            raise UserError(
                f"{table}, line {number}: expected a file name and 0 (real) or 1 (fake), "
                f"received {row['filename']!r} and {row['label']!r}"
            )
        videos.append(_test_video(table, folder / name, int(row["label"])))
    return videos


def _test_video(labels: Path, path: Path, label: Any) -> Video:
    if label not in (0, 1):
        raise UserError(
            f"{labels}: {path.name}: expected {TEST_LABEL} 0 (real) or 1 (fake), received {label!r}"
        )
    return Video(
        path=path,
        label=int(label),
        dataset=TEST_DATASET,
        method="fake" if label else "real",
        compression="",
        video_id=path.stem,
        identities=(path.stem,),
        split="test",
    )
