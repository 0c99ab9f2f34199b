"""Checks of a dataset: leaks, doubled keys, missing, unreadable and equal files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from keras_ddl.data.layouts import Index
from keras_ddl.data.layouts.index import Official
from keras_ddl.data.video_index import CLASSES, SPLITS, Video
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256
from keras_ddl.edge.optional_import import need_pyav
from keras_ddl.edge.workers.pool import JOB_S, Loss
from keras_ddl.edge.workers.pools import unordered_map

SHOWN = 5  # findings of a kind, and files of a finding, that are printed; the JSON has them all
_FINE = ("", "")

Item = TypeVar("Item")


@dataclass(frozen=True)
class Finding:
    """Something wrong or noteworthy.

    Args:
        level: `error` or `warning`.
        kind: What sort of thing: `identity leak`, `missing`, …
        message: One line.
        files: The files it is about.
    """

    level: str
    kind: str
    message: str
    files: tuple[str, ...] = ()


def find(
    index: Index,
    content: str,
    processes: int,
    progress: bool,
    needed: Sequence[str] = CLASSES,
    timeout_s: float = JOB_S,
) -> list[Finding]:
    """Return what is wrong or noteworthy, errors first.

    Args:
        index, content, processes, progress, timeout_s: As of `verify`.
        needed: The classes, of `CLASSES`, that each split must have.
    """
    sizes = {video.path: video.path.stat().st_size for video in index.videos}
    findings = [*_leaks(index), *_doubled_keys(index), *_lacking(index, needed), *_empty(sizes)]
    findings += [*_one_person(index), *_missing(index), *_unlike_official(index)]
    if content != "none":
        full = [path for path, size in sizes.items() if size]
        run = partial(unordered_map, processes=processes, lost=_lost, seconds=timeout_s)
        findings += _unreadable(full, content == "deep", run, progress)
        findings += _same_content(index, sizes, progress)
    return sorted(findings, key=lambda finding: finding.level)  # stable; "error" before "warning"


def _leaks(index: Index) -> Iterator[Finding]:
    """People in more than one split."""
    for (dataset, person), videos in _grouped(
        ((video.dataset, person), video) for video in index.videos for person in video.identities
    ):
        parts = {split: [v for v in videos if v.split == split] for split in SPLITS}
        places = {split: part for split, part in parts.items() if part}
        if len(places) < 2:
            continue
        # what the publisher's own test list shares is theirs; what else is shared is not
        published = len(places.keys() - set(index.shared)) < 2
        where = " and ".join(f"{s} ({len(p)}: {_named(p)})" for s, p in places.items())
        yield Finding(
            "warning" if published else "error",
            "published overlap" if published else "identity leak",
            f"{dataset}: {person} is in {where}",
            _files(videos),
        )


def _doubled_keys(index: Index) -> Iterator[Finding]:
    """Videos that would be averaged into one score."""
    for key, videos in _grouped((video.key, video) for video in index.videos):
        if len(videos) > 1:
            message = f"{len(videos)} videos have one key {key}: {_named(videos)}"
            yield Finding("error", "duplicate key", message, _files(videos))


def _lacking(index: Index, needed: Sequence[str]) -> Iterator[Finding]:
    """Splits without videos of a class; a test part is not needed for training."""
    there = {(video.split, CLASSES[video.label]) for video in index.videos}
    reals_alone = bool(there) and not any(name == CLASSES[1] for _, name in there)
    for split in SPLITS:
        for name in needed:
            if (split, name) not in there:
                level = "warning" if split == "test" else "error"
                hint = reals_alone and name == CLASSES[1]
                remedy = "; for training on pseudo-fakes check --for pseudo-fakes" if hint else ""
                yield Finding(level, "empty part", f"{split} has no {name} video{remedy}")


def _one_person(index: Index) -> Iterator[Finding]:
    """A prefix of most file names that passes for a person."""
    if message := index.prefix_taken_for_a_person():
        yield Finding("warning", "one person", message)


def _empty(sizes: Mapping[Path, int]) -> Iterator[Finding]:
    for path, size in sizes.items():
        if size == 0:
            yield Finding("error", "empty file", f"{path} has 0 bytes; get it again", (str(path),))


def _missing(index: Index) -> Iterator[Finding]:
    """Listed files that are not there, by folder."""
    for folder, videos in _grouped((video.path.parent, video) for video in index.missing):
        message = f"{folder}: {len(videos)} listed files are missing: {_named(videos)}"
        yield Finding("warning", "missing", message, _files(videos))


def _unlike_official(index: Index) -> Iterator[Finding]:
    kinds = tally(index.videos + index.left_out)
    for official in index.official:
        found = count_official(official, kinds)
        if found != official.videos:
            label = None if official.label is None else CLASSES[official.label]
            parts = (official.dataset, official.split, label, official.method, official.compression)
            what = " ".join(dict.fromkeys(part for part in parts if part))
            yield Finding("warning", "count", f"{what}: {found} of {official.videos} videos")


def _unreadable(
    paths: Sequence[Path], deep: bool, run: Callable[..., Any], progress: bool
) -> Iterator[Finding]:
    """Files that are no videos or, where every frame is decoded, hold fewer than they promise."""
    need_pyav()
    results = run(_decode if deep else _open, paths, start=_nothing)
    found = dict(_bar(results, len(paths), "decode" if deep else "open", progress))
    for number, path in enumerate(paths):
        level, message = found[number]
        if level:
            yield Finding(level, "unreadable", message, (str(path),))


def _same_content(index: Index, sizes: Mapping[Path, int], progress: bool) -> Iterator[Finding]:
    """Equal files: of one size, then of one SHA-256."""
    alike = _grouped((sizes[video.path], video) for video in index.videos if sizes[video.path])
    pairs = [video for _, videos in alike if len(videos) > 1 for video in videos]
    hashed = ((file_sha256(video.path), video) for video in pairs)
    for _, videos in _grouped(_bar(hashed, len(pairs), "compare", progress)):
        if len(videos) < 2:
            continue
        harmless = len({(video.split, video.label) for video in videos}) == 1
        places = "; ".join(f"{v.split} {CLASSES[v.label]} {v.path}" for v in videos[:SHOWN])
        message = f"{len(videos)} files with the same content: {places}"
        level = "warning" if harmless else "error"
        yield Finding(level, "duplicate content", message, _files(videos))


def _nothing() -> None:
    """A worker needs nothing before its first file."""


def _open(_: None, path: Path) -> tuple[str, str]:
    from keras_ddl.edge.video import read_video

    try:
        read_video(path)  # opens the file and finds the stream; the frames are left alone
    except UserError as error:
        return "error", str(error)
    return _FINE


def _decode(_: None, path: Path) -> tuple[str, str]:
    from keras_ddl.edge.video import probe, read_video

    try:
        promised = probe(path).frames
        frames = sum(1 for _ in read_video(path))
    except UserError as error:
        return "error", str(error)
    if frames < promised:
        return "warning", f"{path}: {frames} of {promised} frames can be read (truncated?)"
    return _FINE


def _lost(path: Path, loss: Loss) -> tuple[str, str]:
    return "error", f"{path}: {loss.reason}"


def table_row(video: Video) -> tuple[str, str, str, str, str]:
    """Return what the counts tell apart: dataset, method, compression, class, split."""
    return (video.dataset, video.method, video.compression, CLASSES[video.label], video.split)


def tally(counted: Iterable[Video]) -> list[tuple[Video, int]]:
    """Return one video of every row of the table, and how many there are of its kind."""
    rows = _grouped((table_row(video), video) for video in counted)
    return [(videos[0], len(videos)) for _, videos in rows]


def count_official(official: Official, kinds: Iterable[tuple[Video, int]]) -> int:
    """Return how many of the videos that a publisher counted are in a tally."""
    return sum(count for video, count in kinds if official.counts(video))


def _grouped(pairs: Iterable[tuple[Hashable, Video]]) -> Iterator[tuple[Any, list[Video]]]:
    groups: dict[Hashable, list[Video]] = defaultdict(list)
    for key, video in pairs:
        groups[key].append(video)
    yield from groups.items()


def _named(videos: Sequence[Video]) -> str:
    more = f", … {len(videos) - SHOWN} more" if len(videos) > SHOWN else ""
    return ", ".join(str(video.path) for video in videos[:SHOWN]) + more


def _files(videos: Iterable[Video]) -> tuple[str, ...]:
    return tuple(str(video.path) for video in videos)


def _bar(items: Iterable[Item], total: int, what: str, show: bool) -> Iterable[Item]:
    from tqdm import tqdm

    bar = {"desc": what, "unit": "file", "dynamic_ncols": True, "disable": not show}
    return tqdm(items, total=total, **bar)
