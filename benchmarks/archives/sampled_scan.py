"""Agreement of a scan by sample with a full one, on one's own footage.

`python -m benchmarks.archives.sampled_scan FOLDER` scans it at every frame and then with each
`--clips`, and says how alike the scores are ranked (Spearman) and which verdicts differ. It goes
on where it was stopped, as `deploy/scan.py` does; processor seconds are those of this call.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.settings import BENCH, merge_json
from deploy.judging.verdict import Label
from deploy.scanning.file_record import JUDGED
from deploy.scanning.results.summary import JSON
from keras_ddl.edge.errors import USAGE, Parser, UserError, run_cli
from keras_ddl.edge.values import at_least

OUT = Path("runs/sampled_scan")
CLIPS = (4, 8, 16)
REPO = Path(__file__).resolve().parents[2]
Files = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Agreement:
    """How a scan by sample compares with the full one.

    Attributes:
        files: Judged by both.
        sampled: Of them, looked at in places; the others are too short and were read whole.
        correlation: Spearman's, of the sampled files' mean scores; None for fewer than three.
        distance: Mean absolute difference of those scores; None without any.
        to_fake, from_fake: Sampled files that are FAKE by sample alone, or in full alone.
        missed: Sampled files in which no face was seen though in full there was one.
        other: Further sampled files with another verdict.
    """

    files: int
    sampled: int
    correlation: float | None
    distance: float | None
    to_fake: int
    from_fake: int
    missed: int
    other: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.archives.sampled_scan", description=description)
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files and folders")
    parser.add_argument("--clips", type=at_least(1), nargs="+", default=CLIPS, metavar="N")
    parser.add_argument("--out", type=Path, default=OUT, help="results (default: %(default)s)")
    parser.add_argument("--options", default="", help="of the scan, such as '--detector haar'")
    parser.add_argument("--json", type=Path, default=BENCH, help="default: %(default)s")
    args = parser.parse_args(argv)
    return run_cli(lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    words = [*map(str, args.paths), *args.options.split()]
    full, full_s = _scan(words, args.out / "full")
    rows = {}
    for clips in args.clips:
        files, seconds = _scan([*words, "--clips", str(clips)], args.out / str(clips))
        rows[clips] = {**asdict(agreement(full, files)), "cpu_s": seconds}
    length_s = sum(record["seconds"] for record in full.values())
    print(f"{len(full)} videos, {length_s:.0f} s; every frame: {full_s:.0f} s of processor")
    print("clips  sampled  Spearman  |score|  FAKE: new  lost  no face  other  processor s")
    for clips, row in rows.items():
        print(
            f"{clips:>5}{row['sampled']:>9}{_shown(row['correlation']):>10}{_shown(row['distance']):>9}"
            f"{row['to_fake']:>11}{row['from_fake']:>6}{row['missed']:>9}{row['other']:>7}"
            f"{row['cpu_s']:>13.0f}"
        )
    merge_json(args.json, {"sampled_scan": {"full_cpu_s": full_s, "rows": rows}})
    return 0


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _scan(words: Sequence[str], out: Path) -> tuple[Files, float]:
    """Scan as the command does; return the judged files by path, and processor seconds."""
    before = _children_s()
    line = [sys.executable, str(REPO / "deploy" / "scan.py"), *words, "--out", str(out)]
    code = subprocess.run(line, stdout=subprocess.DEVNULL, check=False).returncode
    if code not in (0, USAGE) or not (out / JSON).is_file():
        raise UserError(f"expected a scan to end with 0 or {USAGE}, received {code}", code or USAGE)
    files = json.loads((out / JSON).read_text(encoding="utf-8"))["files"]
    return {
        file["path"]: file for file in files if file["status"] == JUDGED
    }, _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def agreement(full: Files, sampled: Files) -> Agreement:
    """Compare two scans of the same files, by path."""
    both = sorted(full.keys() & sampled.keys())
    looked = [path for path in both if sampled[path].get("sample")]
    scores = [(full[p]["fake_probability"], sampled[p]["fake_probability"]) for p in looked]
    known = np.array([pair for pair in scores if None not in pair], np.float64).reshape(-1, 2)
    verdicts = [(full[p]["verdict"], sampled[p]["verdict"]) for p in looked]
    flips = [(a, b) for a, b in verdicts if a != b]
    fake, nobody = Label.FAKE.value, Label.NO_FACE.value
    return Agreement(
        files=len(both),
        sampled=len(looked),
        correlation=spearman(known[:, 0], known[:, 1]),
        distance=float(np.abs(known[:, 0] - known[:, 1]).mean()) if len(known) else None,
        to_fake=sum(b == fake for _, b in flips),
        from_fake=sum(a == fake for a, _ in flips),
        missed=sum(b == nobody for _, b in flips),
        other=sum(fake not in pair and pair[1] != nobody for pair in flips),
    )


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two series (N,), equal values ranked alike."""
    if len(a) < 3:
        return None
    return float(np.corrcoef(_ranks(a), _ranks(b))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts - 1) / 2)[places]


if __name__ == "__main__":
    sys.exit(main())
