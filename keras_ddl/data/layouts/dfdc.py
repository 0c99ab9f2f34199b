"""DFDC: `dfdc_train_part_*/metadata.json`, and the test set's `labels.csv`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_ddl.data.layouts.index import Index, Official, dataset_folder
from keras_ddl.data.layouts.rows import read_rows
from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json

DATASET = "DFDC"
TEST_DATASET = "DFDC-test"
TRAINING_VIDEOS = 119_154
SPLIT_OF_PART = {
    **dict.fromkeys(range(35), "train"),
    **dict.fromkeys(range(35, 40), "val"),
    **dict.fromkeys(range(40, 50), "test"),
}
LABELS = {"REAL": 0, "FAKE": 1}
TEST_FOLDERS = ("", "test")
"""Where `labels.csv` is looked for, below the root."""
TEST_VIDEO_FOLDERS = ("", "videos", "test", "test_videos")
"""Where its videos are looked for, below the folder of `labels.csv`."""

_PART = re.compile(r"dfdc_train_part_(\d+)")


@dataclass(frozen=True)
class _Clip:
    """A line of a metadata file."""

    path: Path
    part: int
    label: int
    original: str


def dfdc(root: Path) -> Index:
    """Index DFDC.

    Parts 0 to 34 are for training, 35 to 39 for validation, 40 to 49 for test. A fake goes where
    its original is, so that both are in one split; where the original is not listed, its fakes
    go together, with the first part that has one. The labelled test set, where it is there, is a
    dataset of its own, `DFDC-test`.

    Args:
        root: The folder that holds `dfdc_train_part_*` and, itself or in `test`, `labels.csv`
            with its videos beside it or one folder below.

    Returns:
        Its index. The method is not published: it is `fake`. The identity is the original's stem:
        who is in it is not published either.

    Raises:
        UserError: If there is no part and no `labels.csv`, or one of the files is malformed.
    """
    root = dataset_folder(root)
    parts = {
        int(match[1]): folder
        for folder in sorted(root.iterdir())
        if (match := _PART.fullmatch(folder.name)) and (folder / "metadata.json").is_file()
    }
    tables = [root / name / "labels.csv" for name in TEST_FOLDERS]
    table = next((file for file in tables if file.is_file()), None)
    if not parts and table is None:
        raise UserError(
            f"expected DFDC, received {root}, which holds neither dfdc_train_part_*/metadata.json "
            "nor labels.csv"
        )
    unknown = sorted(parts.keys() - SPLIT_OF_PART.keys())
    clips = [clip for part in sorted(parts.keys() - set(unknown)) for clip in _clips(part, parts)]
    videos = list(_videos(clips))
    videos += [] if table is None else _labelled(table)
    notes = [f"{parts[part]}: left out, DFDC's parts are 0 to 49" for part in unknown]
    official = [Official(TRAINING_VIDEOS, DATASET)] if clips else []
    return Index.of(videos, official=official, notes=notes)


def _clips(part: int, parts: dict[int, Path]) -> Iterator[_Clip]:
    path = parts[part] / "metadata.json"
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected an object by file name; download it again")
    for name, entry in entries.items():
        label = LABELS.get(str(entry.get("label")).upper()) if isinstance(entry, dict) else None
        if label is None:
            raise UserError(f"{path}: {name}: expected a label REAL or FAKE, received {entry!r}")
        original = entry.get("original") if label else None
        yield _Clip(parts[part] / name, part, label, Path(original or name).stem)


def _videos(clips: list[_Clip]) -> Iterator[Video]:
    """Yield the clips, each in the split of its original's part."""
    part_of: dict[str, int] = {}
    for clip in sorted(clips, key=lambda clip: (clip.path.stem != clip.original, clip.part)):
        part_of.setdefault(clip.original, clip.part)
    for clip in clips:
        yield Video(
            path=clip.path,
            label=clip.label,
            dataset=DATASET,
            method="fake" if clip.label else "real",
            compression="",
            video_id=f"{clip.part:02d}/{clip.path.stem}",
            identities=(clip.original,),
            split=SPLIT_OF_PART[part_of[clip.original]],
            original=f"{part_of[clip.original]:02d}/{clip.original}" if clip.label else "",
        )


def _labelled(table: Path) -> list[Video]:
    """Return the videos of the labelled test set."""
    _, rows = read_rows(table, ("filename", "label"))
    folders = [table.parent / name for name in TEST_VIDEO_FOLDERS]
    first = rows[0][1]["filename"]
    folder = next((f for f in folders if (f / first).is_file()), table.parent)
    videos = []
    for number, row in rows:
        if row["label"] not in ("0", "1") or not row["filename"]:
            raise UserError(
                f"{table}, line {number}: expected a file name and 0 (real) or 1 (fake), "
                f"received {row['filename']!r} and {row['label']!r}"
            )
        label, name = int(row["label"]), Path(row["filename"])
        videos.append(
            Video(
                path=folder / name,
                label=label,
                dataset=TEST_DATASET,
                method="fake" if label else "real",
                compression="",
                video_id=name.stem,
                identities=(name.stem,),
                split="test",
            )
        )
    return videos
