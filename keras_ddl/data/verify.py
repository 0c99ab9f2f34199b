"""Check of a dataset before training on it: `python -m keras_ddl.data.verify`.

Errors make numbers wrong or show damage: a person, a key or the same content in two splits, files
that are empty or no videos, a part without reals or fakes. Warnings do not: files that were not
downloaded, counts that differ from the published ones, people whom the published splits share.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_ddl.data.findings import SHOWN, Finding, count_official, find, table_row, tally
from keras_ddl.data.layouts import Index, add_arguments, read_index
from keras_ddl.data.video_index import CLASSES, SPLITS
from keras_ddl.edge.errors import CHECK_FAILED, Parser, UserError, run_cli
from keras_ddl.edge.files import write_json
from keras_ddl.edge.storage.address import is_address
from keras_ddl.edge.workers.pool import JOB_S, add_file_timeout

FORMAT = 1
CONTENT = ("none", "quick", "deep")
PURPOSES = ("fakes", "pseudo-fakes")
"""What a training learns from: the set's own fakes, or fakes that it makes of the reals."""
PROCESSES = 2


@dataclass(frozen=True)
class Report:
    """Findings about a dataset.

    Args:
        index: The dataset, as its layout reads it.
        content: How far the files were looked into; one of `CONTENT`.
        findings: Errors first.
        purpose: What the set is to serve; one of `PURPOSES`.
    """

    index: Index
    content: str
    findings: tuple[Finding, ...]
    purpose: str = PURPOSES[0]

    @property
    def safe(self) -> bool:
        """Whether there is no error."""
        return not any(finding.level == "error" for finding in self.findings)

    def people(self) -> set[tuple[str, str]]:
        """Return everybody in the videos, with the dataset: names mean nothing across datasets."""
        return {(video.dataset, who) for video in self.index.videos for who in video.identities}

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        kinds = tally(self.index.videos)
        everything = tally(self.index.videos + self.index.left_out)
        names = ("dataset", "method", "compression", "class", "split")
        return {
            "format": FORMAT,
            "safe": self.safe,
            "for": self.purpose,
            "content": self.content,
            "videos": len(self.index.videos),
            "people": len(self.people()),
            "people_from": self.index.people,
            "masks": sum(video.mask is not None for video in self.index.videos),
            "counts": [
                {**dict(zip(names, table_row(video), strict=True)), "videos": count}
                for video, count in kinds
            ],
            "official": [
                {**asdict(official), "found": count_official(official, everything)}
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
    processes: int = 0,
    progress: bool = False,
    purpose: str = PURPOSES[0],
    identity: str = "",
    timeout_s: float = JOB_S,
) -> Report:
    """Check a dataset.

    Args:
        root: The dataset's folder.
        layout: A name in `keras_ddl.data.layouts.LAYOUTS`.
        content: `quick` opens every file, looks for a video stream and compares files of equal
            size; `deep` also decodes every frame; `none` looks at lists, names and sizes alone.
        processes: Worker processes that open files; 0 = in this process, without `timeout_s`.
        progress: Show progress bars on stderr.
        purpose: One of `PURPOSES`; for `pseudo-fakes` no split needs a fake.
        identity: Pattern of an `IdentityRule`; see `read_index`.
        timeout_s: A file that takes longer to open or to decode is a finding.

    Raises:
        UserError: If the folder is not such a dataset.
    """
    if content not in CONTENT:
        raise ValueError(f"content: expected one of {', '.join(CONTENT)}; received {content!r}")
    if purpose not in PURPOSES:
        raise ValueError(f"purpose: expected one of {', '.join(PURPOSES)}; received {purpose!r}")
    index = read_index(root, layout, identity)
    needed = CLASSES if purpose == PURPOSES[0] else CLASSES[:1]
    findings = find(index, content, processes, progress, needed, timeout_s)
    return Report(index, content, tuple(findings), purpose)


def table(report: Report) -> str:
    """Return the report as text: videos per split, then the findings."""
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for video, count in tally(report.index.videos):
        *row, split = table_row(video)
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
    people = f", taken from {report.index.people}" if report.index.people else ""
    lines.append(f"people: {len(report.people())}{people}")
    kinds: dict[tuple[str, str], list[str]] = defaultdict(list)
    for finding in report.findings:
        kinds[finding.level, finding.kind].append(finding.message)
    for (level, kind), messages in kinds.items():
        lines += [f"{level}: {kind}: {message}" for message in messages[:SHOWN]]
        if len(messages) > SHOWN:
            lines.append(f"{level}: {kind}: … {len(messages) - SHOWN} more")
    lines += [f"note: {note}" for note in report.index.notes]
    errors = sum(finding.level == "error" for finding in report.findings)
    what = "safe to train on" + (" with pseudo-fakes" if report.purpose != PURPOSES[0] else "")
    verdict = what if report.safe else f"NOT {what}: {errors} errors"
    return "\n".join([*lines, f"{verdict}; {len(report.findings) - errors} warnings"])


def _folder(text: str) -> Path:
    if is_address(text):
        raise argparse.ArgumentTypeError(
            f"expected a folder of this machine, received {text}; copy it here to verify it"
        )
    return Path(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 safe, 4 not."""
    parser = Parser(
        prog="python -m keras_ddl.data.verify",
        description="Check a dataset: counts, missing and broken files, leaks, duplicates.",
        epilog="Ends with 0 where training is safe and with 4 where it is not.",
    )
    parser.add_argument("root", type=_folder, help="folder of the dataset")
    add_arguments(parser)
    parser.add_argument(
        "--for",
        dest="purpose",
        choices=PURPOSES,
        default=PURPOSES[0],
        help="what the training learns from: the set's own fakes (default), or fakes that it makes "
        "of the reals (--set pseudo_fakes=only)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything found there")
    parser.add_argument("--processes", type=int, default=PROCESSES, metavar="N")
    add_file_timeout(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--deep", action="store_true", help="decode every frame of every file")
    group.add_argument("--no-content", action="store_true", help="open no file, compare none")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if args.json and (args.json.is_dir() or not args.json.parent.is_dir()):
        raise UserError(f"--json: expected a file in a folder, received {args.json}; make it first")
    content = "deep" if args.deep else "none" if args.no_content else "quick"
    report = verify(
        *(args.root, args.layout, content, args.processes, True, args.purpose, args.identity),
        timeout_s=args.file_timeout,
    )
    if args.json:
        root = str(args.root.resolve())
        facts = {"root": root, "layout": args.layout, "identity": args.identity}
        write_json(args.json, {**facts, **report.to_dict()})
    print(table(report))
    return 0 if report.safe else CHECK_FAILED


if __name__ == "__main__":
    sys.exit(main())
