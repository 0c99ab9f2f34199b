"""`python -m keras_ddl.data.verify`: is this dataset whole, and are its splits safe to train on?

Errors make numbers wrong or show damage: a person, a key or the same content in two splits, files
that are empty or no videos, a part without reals or fakes. Warnings do not: files that were not
downloaded, counts that differ from the published ones, people whom the published splits share.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from keras_ddl.data.file_check import check_files
from keras_ddl.data.layouts import LAYOUTS, Index
from keras_ddl.data.layouts.index import Official
from keras_ddl.data.video_index import SPLITS, Video
from keras_ddl.edge.errors import CHECK_FAILED, Parser, UserError, run_cli
from keras_ddl.edge.files import file_sha256, write_json

FORMAT = 1
CONTENT = ("none", "quick", "deep")
PROCESSES = 2
SHOWN = 5  # findings of a kind, and files of a finding, that are printed; the JSON has them all
CLASSES = ("real", "fake")

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


@dataclass(frozen=True)
class Report:
    """What was found out about a dataset.

    Args:
        index: The dataset, as its layout reads it.
        content: How far the files were looked into; one of `CONTENT`.
        findings: Errors first.
    """

    index: Index
    content: str
    findings: tuple[Finding, ...]

    @property
    def safe(self) -> bool:
        """Whether there is no error."""
        return not any(finding.level == "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        tally = _tally(self.index.videos)
        everything = _tally(self.index.videos + self.index.left_out)
        names = ("dataset", "method", "compression", "class", "split")
        return {
            "format": FORMAT,
            "safe": self.safe,
            "content": self.content,
            "videos": len(self.index.videos),
            "masks": sum(video.mask is not None for video in self.index.videos),
            "counts": [
                {**dict(zip(names, _row(video), strict=True)), "videos": count}
                for video, count in tally
            ],
            "official": [
                {**asdict(official), "found": _found(official, everything)}
                for official in self.index.official
            ],
            "notes": list(self.index.notes),
            "left_out": [str(video.path) for video in self.index.left_out],
            "missing": [str(video.path) for video in self.index.missing],
            "findings": [asdict(finding) for finding in self.findings],
        }


def verify(
    root: Path,
    layout: str,
    content: str = "quick",
    processes: int = 1,
    progress: bool = False,
) -> Report:
    """Check a dataset.

    Args:
        root: The dataset's folder.
        layout: A name in `keras_ddl.data.layouts.LAYOUTS`.
        content: `quick` opens every file, looks for a video stream and compares files of equal
            size; `deep` also decodes every frame; `none` looks at lists, names and sizes alone.
        processes: Worker processes that open files; 1 = in this process.
        progress: Show progress bars on stderr.

    Raises:
        UserError: If the folder is not such a dataset.
    """
    if content not in CONTENT:
        raise ValueError(f"content: expected one of {', '.join(CONTENT)}; received {content!r}")
    index = LAYOUTS[layout](Path(root))
    sizes = {video.path: video.path.stat().st_size for video in index.videos}
    findings = [*_leaks(index), *_doubled_keys(index), *_lacking(index), *_empty(sizes)]
    findings += [*_missing(index), *_unlike_official(index)]
    if content != "none":
        full = [path for path, size in sizes.items() if size]
        findings += _unreadable(full, content == "deep", processes, progress)
        findings += _same_content(index, sizes, progress)
    findings.sort(key=lambda finding: finding.level)  # stable; "error" before "warning"
    return Report(index, content, tuple(findings))


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


def _lacking(index: Index) -> Iterator[Finding]:
    """Splits without videos of a class; a test part is not needed for training."""
    there = {(video.split, video.label) for video in index.videos}
    for split in SPLITS:
        for label, name in enumerate(CLASSES):
            if (split, label) not in there:
                level = "warning" if split == "test" else "error"
                yield Finding(level, "empty part", f"{split} has no {name} video")


def _empty(sizes: dict[Path, int]) -> Iterator[Finding]:
    for path, size in sizes.items():
        if size == 0:
            yield Finding("error", "empty file", f"{path} has 0 bytes; get it again", (str(path),))


def _missing(index: Index) -> Iterator[Finding]:
    """Listed files that are not there, by folder."""
    for folder, videos in _grouped((video.path.parent, video) for video in index.missing):
        message = f"{folder}: {len(videos)} listed files are missing: {_named(videos)}"
        yield Finding("warning", "missing", message, _files(videos))


def _unlike_official(index: Index) -> Iterator[Finding]:
    tally = _tally(index.videos + index.left_out)
    for official in index.official:
        found = _found(official, tally)
        if found != official.videos:
            label = None if official.label is None else CLASSES[official.label]
            parts = (official.dataset, official.split, label, official.method, official.compression)
            what = " ".join(dict.fromkeys(part for part in parts if part))
            yield Finding("warning", "count", f"{what}: {found} of {official.videos} videos")


def _unreadable(
    paths: Sequence[Path], deep: bool, processes: int, progress: bool
) -> Iterator[Finding]:
    results = check_files(paths, deep, processes)
    bar = _bar(results, len(paths), "decode" if deep else "open", progress)
    for path, (level, message) in zip(paths, bar, strict=True):
        if level:
            yield Finding(level, "unreadable", message, (str(path),))


def _same_content(index: Index, sizes: dict[Path, int], progress: bool) -> Iterator[Finding]:
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


def _row(video: Video) -> tuple[str, str, str, str, str]:
    return (video.dataset, video.method, video.compression, CLASSES[video.label], video.split)


def _tally(counted: Iterable[Video]) -> list[tuple[Video, int]]:
    """Return one video of every row of the table, and how many there are of its kind."""
    rows = _grouped((_row(video), video) for video in counted)
    return [(videos[0], len(videos)) for _, videos in rows]


def _found(official: Official, tally: Iterable[tuple[Video, int]]) -> int:
    return sum(count for video, count in tally if official.counts(video))


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
    if not show:
        return items
    from tqdm import tqdm

    bar: Iterable[Item] = tqdm(items, total=total, desc=what, unit="file", dynamic_ncols=True)
    return bar


def table(report: Report) -> str:
    """Return the report as text: videos per split, then the findings."""
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for video, count in _tally(report.index.videos):
        *row, split = _row(video)
        counts[tuple(row)][split] = count
    rows: list[tuple[str, ...]] = [("dataset", "method", "compression", "class", *SPLITS)]
    rows += [(*row, *(str(n[split]) for split in SPLITS)) for row, n in counts.items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if i > 3 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for finding in report.findings:
        kinds[finding.level, finding.kind].append(finding.message)
    for (level, kind), messages in kinds.items():
        lines += [f"{level}: {kind}: {message}" for message in messages[:SHOWN]]
        if len(messages) > SHOWN:
            lines.append(f"{level}: {kind}: … {len(messages) - SHOWN} more")
    lines += [f"note: {note}" for note in report.index.notes]
    errors = sum(finding.level == "error" for finding in report.findings)
    verdict = "safe to train on" if report.safe else f"NOT safe to train on: {errors} errors"
    return "\n".join([*lines, f"{verdict}; {len(report.findings) - errors} warnings"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 safe, 4 not."""
    parser = Parser(
        prog="python -m keras_ddl.data.verify",
        description="Check a dataset: counts, missing and broken files, leaks, duplicates.",
        epilog="Ends with 0 where training is safe and with 4 where it is not.",
    )
    parser.add_argument("root", type=Path, help="folder of the dataset")
    parser.add_argument("--layout", choices=sorted(LAYOUTS), default="folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything found there")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--deep", action="store_true", help="decode every frame of every file")
    group.add_argument("--no-content", action="store_true", help="open no file, compare none")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.json and not args.json.parent.is_dir():
        raise UserError(f"--json: expected a file in a folder, received {args.json}; make it first")
    content = "deep" if args.deep else "none" if args.no_content else "quick"
    report = verify(args.root, args.layout, content, args.processes, progress=True)
    if args.json:
        facts = {"root": str(args.root.resolve()), "layout": args.layout}
        write_json(args.json, {**facts, **report.to_dict()})
    print(table(report))
    return 0 if report.safe else CHECK_FAILED


if __name__ == "__main__":
    sys.exit(main())
