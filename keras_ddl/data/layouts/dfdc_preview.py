"""DFDC preview: `dataset.json` over `original_videos`, `method_A` and `method_B`."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

from keras_ddl.data.layouts.held_out import ONLY_VAL, hold_out_if_possible
from keras_ddl.data.layouts.index import Index, dataset_folder
from keras_ddl.data.video_index import Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import read_json

DATASET = "DFDC-preview"
LABELS = {"real": 0, "fake": 1}
SETS = ("train", "test")

_NUMBERS = re.compile(r"(\d+)(?:_(\d+))?_")


def dfdc_preview(root: Path) -> Index:
    """Index the DFDC preview.

    Training and test are the published sets; validation people are held out from training
    (`keras_ddl.data.layouts.held_out`), where enough are there. The people are the numbers that
    begin a file name, one for a real, target and source for a fake.

    Args:
        root: The folder that holds `dataset.json`.

    Returns:
        Its index; the method is the first folder of a fake's path, `video_id` the path without its
        suffix.

    Raises:
        UserError: If `dataset.json` is missing or malformed.
    """
    root = dataset_folder(root)
    path = root / "dataset.json"
    entries = read_json(path)
    if not isinstance(entries, dict):
        raise UserError(f"{path}: expected an object by video path; download it again")
    listed = [_video(root, path, name, entry) for name, entry in entries.items()]
    rest, mixed, notes = hold_out_if_possible([v for v in listed if v.split == "train"], ONLY_VAL)
    test = [video for video in listed if video.split == "test"]
    return Index.of([*rest, *test], mixed, notes=notes)


def _video(root: Path, table: Path, name: str, entry: Any) -> Video:
    label = LABELS.get(str(entry.get("label"))) if isinstance(entry, dict) else None
    if label is None or entry.get("set") not in SETS:
        raise UserError(
            f"{table}: {name}: expected a label real or fake and a set train or test, "
            f"received {entry!r}"
        )
    inner = PurePosixPath(name)
    numbers = _NUMBERS.match(inner.name)
    return Video(
        path=root / name,
        label=label,
        dataset=DATASET,
        method=inner.parts[0] if label else "real",
        compression="",
        video_id=inner.with_suffix("").as_posix(),
        identities=tuple(n for n in numbers.groups() if n) if numbers else (inner.stem,),
        split=entry["set"],
    )
