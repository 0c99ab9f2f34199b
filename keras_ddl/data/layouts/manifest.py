"""CSV manifest (layout `csv`): a line per video, wherever the files are."""

from __future__ import annotations

from pathlib import Path

from keras_ddl.data.layouts.held_out import hold_out
from keras_ddl.data.layouts.index import Index
from keras_ddl.data.layouts.rows import Row, read_rows
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.errors import UserError

REQUIRED = ("path", "label")
OPTIONAL = ("split", "video", "method", "identity", "pair", "source")
LABELS = {"0": 0, "real": 0, "1": 1, "fake": 1}
FILE = "manifest.csv"


def manifest(root: Path) -> Index:
    """Index the videos that a CSV file names.

    Columns: `path` (absolute, or relative to the file), `label` (0 or real, 1 or fake), and
    optionally `split`, `video` (the video's name; the path without it), `method` (`real` and
    `fake` without it), `identity` (people, `;` between several; without it the file name up to its
    first underscore) `pair` (the `path` of the real video that a fake was made from) and `source`
    (where a video was taken from, by which false alarms are told). Without a `split` column people
    are held out (`keras_ddl.data.layouts.held_out`).

    Args:
        root: The CSV file, or a folder with a `manifest.csv`.

    Returns:
        Its index; the dataset is the file's stem, or the folder's name.

    Raises:
        UserError: If there is no such file, a column is missing or a value is not understood.
    """
    root = Path(root)
    table = root / FILE if root.is_dir() else root
    dataset = root.resolve().name if root.is_dir() else table.stem
    columns, rows = read_rows(table, REQUIRED)
    unused = [name for name in columns if name not in REQUIRED + OPTIONAL]
    notes = [f"{table}: columns that are not used: {','.join(unused)}"] if unused else []
    videos = [_video(table, number, row, dataset, "split" in columns) for number, row in rows]
    mixed: list[Video] = []
    if "split" not in columns:
        videos, mixed = hold_out(videos)
    return Index.of(videos, mixed, notes=notes)


def _video(table: Path, number: int, row: Row, dataset: str, has_split: bool) -> Video:
    def value(name: str, default: str = "") -> str:
        return row.get(name, "").strip() or default

    label, split = LABELS.get(value("label").lower()), value("split") if has_split else "train"
    inner = Path(value("path"))
    for problem, what, received in (
        (not value("path"), "a path", value("path")),
        (label is None, "a label 0 or real, 1 or fake", value("label")),
        (split not in SPLITS, f"a split {', '.join(SPLITS)}", split),
    ):
        if problem:
            raise UserError(f"{table}, line {number}: expected {what}, received {received!r}")
    people = value("identity", inner.stem.split("_")[0]).split(";")
    return Video(
        path=table.parent / inner,
        label=label or 0,
        dataset=dataset,
        method=value("method", "fake" if label else "real"),
        compression="",
        video_id=value("video", inner.as_posix()),
        identities=tuple(person.strip() for person in people if person.strip()),
        split=split,
        original=Path(value("pair")).as_posix() if label and value("pair") else "",
        source=value("source"),
    )
