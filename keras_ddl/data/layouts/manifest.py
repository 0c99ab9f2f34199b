"""CSV manifest (layout `csv`): a line per video, wherever the files are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_ddl.data.layouts.held_out import hold_out
from keras_ddl.data.layouts.identity import IdentityRule
from keras_ddl.data.layouts.index import Index
from keras_ddl.data.layouts.rows import Row, read_rows
from keras_ddl.data.video_index import CLASSES, SPLITS, Video
from keras_ddl.edge.errors import UserError

REQUIRED = ("path", "label")
OPTIONAL = ("split", "video", "method", "identity", "pair", "source")
LABELS = {"0": 0, "0.0": 0, "real": 0, "1": 1, "1.0": 1, "fake": 1}
FILE = "manifest.csv"
LONGEST_NAME = 255  # bytes, of a file or folder on common file systems


def manifest(root: Path, identity: str = "") -> Index:
    """Index the videos that a CSV file names.

    Columns: `path` (absolute, or relative to the file; with back slashes too, where the file is not
    there as it is written), `label` (0 or real, 1 or fake), and optionally `split`, `video` (the
    video's name; the path without it), `method` (of a fake; `fake` without it), `identity` (people,
    `;` between several; without it the file name up to its first underscore, or what a pattern
    finds in the path), `pair` (the `path` of the real video that a fake was made from) and `source`
    (where a video was taken from, by which false alarms are told). Without a `split` column people
    are held out (`keras_ddl.data.layouts.held_out`).

    Args:
        root: The CSV file, or a folder with a `manifest.csv`.
        identity: Pattern of an `IdentityRule`, for lines without an identity.

    Returns:
        Its index; the dataset is the file's stem, or the folder's name.

    Raises:
        UserError: If there is no such file, a column is missing, a value is not understood, one
            file has two labels or two splits, the pattern finds nobody in a path, or there are too
            few people to hold out.
    """
    root, rule = Path(root), IdentityRule(identity)
    table = root / FILE if root.is_dir() else root
    dataset = root.resolve().name if root.is_dir() else table.stem
    columns, rows = read_rows(table, REQUIRED)
    unused = [name for name in columns if name not in REQUIRED + OPTIONAL]
    notes = [f"{table}: columns that are not used: {','.join(unused)}"] if unused else []
    has_split = "split" in columns
    videos = [_video(table, number, row, dataset, has_split, rule) for number, row in rows]
    _refuse_contradictions(table, [number for number, _ in rows], videos)
    mixed: list[Video] = []
    if not has_split:
        rule.check_held_out(videos)
        videos, mixed = hold_out(videos)
    videos, odd = _paired(videos)
    notes += [f"{table}: {note}" for note in odd]
    named = all(row.get("identity") for _, row in rows)
    return Index.of(videos, mixed, notes=notes, people="" if named else str(rule))


def _video(
    table: Path, number: int, row: Row, dataset: str, has_split: bool, rule: IdentityRule
) -> Video:
    def value(name: str, default: str = "") -> str:
        return row.get(name, "").strip() or default

    label = LABELS.get(value("label").lower())
    split = value("split").lower() if has_split else "train"
    inner = _path(table, value("path"))
    long = any(len(os.fsencode(part)) > LONGEST_NAME for part in inner.parts)
    for problem, what, received in (
        (not value("path"), "a path", value("path")),
        (long, f"a path of names of {LONGEST_NAME} bytes at most", inner.name[:40] + "…"),
        (label is None, "a label 0 or real, 1 or fake", value("label")),
        (split not in SPLITS, f"a split {', '.join(SPLITS)}", split),
        (label and value("method") == "real", "the method of a fake", value("method")),
    ):
        if problem:
            raise UserError(f"{table}, line {number}: expected {what}, received {received!r}")
    people = [person.strip() for person in value("identity").split(";") if person.strip()]
    return Video(
        path=table.parent / inner,
        label=label or 0,
        dataset=dataset,
        method=value("method", "fake") if label else "real",
        compression="",
        video_id=value("video", inner.as_posix()),
        identities=tuple(people) or rule.people(inner),
        split=split,
        original=str(table.parent / _path(table, value("pair"))) if label and value("pair") else "",
        source=value("source"),
    )


def _path(table: Path, text: str) -> Path:
    """A path as it is written, or as it is meant where it was written on another system."""
    path = Path(text)
    other = Path(text.replace("\\", "/"))
    return other if "\\" in text and not (table.parent / path).exists() else path


def _paired(videos: Sequence[Video]) -> tuple[list[Video], list[str]]:
    """Name the originals of fakes as the reals of these paths are named; note what is no real."""
    reals = {os.path.abspath(video.path): video for video in videos if not video.label}
    named, lost = [], []
    for video in videos:
        if video.original:
            original = reals.get(os.path.abspath(video.original))
            lost += [] if original else [video.original]
            video = replace(video, original=original.video_id if original else "")
        named.append(video)
    if not lost:
        return named, []
    return named, [f"{len(lost)} fakes have a pair that is no listed real, the first is {lost[0]}"]


def _refuse_contradictions(table: Path, lines: Sequence[int], videos: Sequence[Video]) -> None:
    """Refuse a file that is real here and fake there, or in two splits."""
    seen: dict[str, tuple[int, Video]] = {}
    for line, video in zip(lines, videos, strict=True):
        before, first = seen.setdefault(os.path.abspath(video.path), (line, video))
        for what in ("label", "split"):
            one, other = getattr(first, what), getattr(video, what)
            if one != other:
                names = [CLASSES[v] if what == "label" else v for v in (one, other)]
                raise UserError(
                    f"{table}, line {line}: expected one {what} for {video.path.name}, received "
                    f"{names[1]}, and {names[0]} in line {before}; keep one of the lines"
                )
