"""CSV manifest (layout `csv`): a line per video, wherever the files are."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from keras_ddl.data.layouts.dataset_files import listed
from keras_ddl.data.layouts.held_out import hold_out
from keras_ddl.data.layouts.identity import IdentityRule
from keras_ddl.data.layouts.index import Index
from keras_ddl.data.layouts.rows import Row, read_rows
from keras_ddl.data.video_index import CLASSES, SPLITS, Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.storage.address import Address, is_address
from keras_ddl.edge.storage.store import Store

REQUIRED = ("path", "label")
OPTIONAL = ("split", "video", "method", "identity", "pair", "source")
LABELS = {"0": 0, "0.0": 0, "real": 0, "1": 1, "1.0": 1, "fake": 1}
FILE = "manifest.csv"
LONGEST_NAME = 255  # bytes, of a file or folder on common file systems


def manifest(root: Path | Address, identity: str = "") -> Index:
    """Index the videos that a CSV file names.

    Columns: `path` (absolute, or relative to the file, or an address; with back slashes too, where
    the file is not there as it is written), `label` (0 or real, 1 or fake), and optionally
    `split`, `video` (the video's name; the path without it), `method` (of a fake; `fake` without
    it), `identity` (people, `;` between several; without it the file name up to its first
    underscore, or what a pattern finds in the path), `pair` (the `path` of the real video that a
    fake was made from) and `source` (where a video was taken from, by which false alarms are told).
    Without a `split` column people are held out (`keras_ddl.data.layouts.held_out`).

    Args:
        root: The CSV file, or a folder with a `manifest.csv`; or the address of either.
        identity: Pattern of an `IdentityRule`, for lines without an identity.

    Returns:
        Its index; the dataset is the file's stem, or the folder's name.

    Raises:
        UserError: If there is no such file, a column is missing, a value is not understood, one
            file has two labels or two splits, the pattern finds nobody in a path, or there are too
            few people to hold out.
    """
    rule = IdentityRule(identity)
    table, dataset = _table(root)
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
    videos, odd = _paired(listed(videos, table))
    notes += [f"{table}: {note}" for note in odd]
    named = all(row.get("identity") for _, row in rows)
    return Index.of(videos, mixed, notes=notes, people="" if named else str(rule))


def _table(root: Path | Address) -> tuple[Path | Address, str]:
    """The CSV file, and the dataset's name."""
    if isinstance(root, Address):
        is_file = root.suffix.lower() == ".csv" or Store(root).look(root) is not None
        return (root, Path(root.name).stem) if is_file else (root / FILE, root.name)
    root = Path(root)
    return (root / FILE, root.resolve().name) if root.is_dir() else (root, root.stem)


def _video(
    table: Path | Address, number: int, row: Row, dataset: str, has_split: bool, rule: IdentityRule
) -> Video:
    def value(name: str, default: str = "") -> str:
        return row.get(name, "").strip() or default

    label = LABELS.get(value("label").lower())
    split = value("split").lower() if has_split else "train"
    path, inner = _place(table, value("path"))
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
        path=path,
        label=label or 0,
        dataset=dataset,
        method=value("method", "fake") if label else "real",
        compression="",
        video_id=value("video", inner.as_posix()),
        identities=tuple(people) or rule.people(inner),
        split=split,
        original=str(_place(table, value("pair"))[0]) if label and value("pair") else "",
        source=value("source"),
    )


def _place(table: Path | Address, text: str) -> tuple[Path | Address, PurePath]:
    """Where a file is, and its path as it is written, or as it is meant where it was written on
    another system."""
    if is_address(text):
        return Address(text), PurePosixPath(text.partition("://")[2])
    meant = Path(text.replace("\\", "/"))
    if isinstance(table, Address):
        if meant.is_absolute():
            return meant, meant
        return Address(posixpath.join(table.rpartition("/")[0], meant.as_posix())), meant
    inner = meant if "\\" in text and not (table.parent / text).exists() else Path(text)
    return table.parent / inner, inner


def _paired(videos: Sequence[Video]) -> tuple[list[Video], list[str]]:
    """Name the originals of fakes as the reals of these paths are named; note what is no real."""
    reals = {_absolute(video.path): video for video in videos if not video.label}
    named, lost = [], []
    for video in videos:
        if video.original:
            original = reals.get(_absolute(video.original))
            lost += [] if original else [video.original]
            video = replace(video, original=original.video_id if original else "")
        named.append(video)
    if not lost:
        return named, []
    return named, [f"{len(lost)} fakes have a pair that is no listed real, the first is {lost[0]}"]


def _refuse_contradictions(
    table: Path | Address, lines: Sequence[int], videos: Sequence[Video]
) -> None:
    """Refuse a file that is real here and fake there, or in two splits."""
    seen: dict[str, tuple[int, Video]] = {}
    for line, video in zip(lines, videos, strict=True):
        before, first = seen.setdefault(_absolute(video.path), (line, video))
        for what in ("label", "split"):
            one, other = getattr(first, what), getattr(video, what)
            if one != other:
                names = [CLASSES[v] if what == "label" else v for v in (one, other)]
                raise UserError(
                    f"{table}, line {line}: expected one {what} for {video.path.name}, received "
                    f"{names[1]}, and {names[0]} in line {before}; keep one of the lines"
                )


def _absolute(path: Path | str) -> str:
    return str(path) if is_address(str(path)) else os.path.abspath(path)
