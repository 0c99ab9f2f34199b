"""Growth of a scan over a cluster: `python -m benchmarks.archives.archive_growth`.

Takes the seconds of each file from the ledger of a scan that was made, measures here what the
command does alone (listing, ledger), and says how many videos an hour so many workers judge, which
stage holds them up first, and what failures cost. docs/cluster.md has the formula in words.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.settings import settings
from deploy.scanning.file_record import JUDGED
from deploy.scanning.files import Candidate, find
from deploy.scanning.results.ledger import LEDGER, Ledger
from deploy.scanning.worklist import Worklist
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.files import write_json
from keras_ddl.edge.memory import peak_mib
from keras_ddl.edge.values import at_least, positive

OUT = Path("runs/archive_growth.json")
FILES = 20_000  # that the command's own work is measured with
SIZES = tuple(10**power for power in range(3, 8))
SIMULATED = 50  # videos per worker: enough for the end, when some wait, to count little
HOUR_S = 3600.0


@dataclass(frozen=True)
class Stages:
    """Seconds of each stage, and how often workers are lost.

    Attributes:
        listing_s: Of the command, per file.
        results_s: Of the command, per file: its line in the ledger.
        judge_s: Of a worker, a sample per file: reading, decoding, faces, network, results.
        bytes: Of a file, on average.
        storage_bytes_s: That the storage gives to all workers together.
        losses_per_hour: Of each worker.
        restart_s: Until a lost worker is there again.
    """

    listing_s: float
    results_s: float
    judge_s: Sequence[float]
    bytes: float
    storage_bytes_s: float
    losses_per_hour: float = 0.0
    restart_s: float = 30.0

    def bounds(self, workers: int) -> dict[str, float]:
        """Return the videos per second that each stage allows.

        A worker that is lost every 1/λ seconds redoes half a file on average and is away for
        `restart_s`, so of its time 1 − λ (mean / 2 + restart) is left.
        """
        mean = float(np.mean(self.judge_s))
        lost = self.losses_per_hour / HOUR_S * (mean / 2 + self.restart_s)
        return {
            "workers": workers * max(0.0, 1.0 - lost) / mean,
            "storage": self.storage_bytes_s / self.bytes,
            "listing and results": 1.0 / max(self.listing_s + self.results_s, 1e-12),
        }

    def simulated(self, workers: int, videos: int, seed: int = 0) -> float:
        """Return the videos per second of a run in which workers are lost at random.

        Files are taken in order by whoever is free; one whose worker is lost is begun again by the
        next that is; the command lists before and notes each result one after the other.
        """
        random = np.random.default_rng(seed)
        seconds = random.choice(np.asarray(self.judge_s, float), videos)
        free = [(0.0, number) for number in range(workers)]
        again: list[int] = []
        noted, begun, storage = 0.0, 0, 0.0
        per_file = self.listing_s + self.results_s
        while begun < videos or again:
            now, worker = heapq.heappop(free)
            video = again.pop() if again else begun
            begun += video == begun
            storage = max(storage, now) + self.bytes / self.storage_bytes_s
            end = max(now + seconds[video], storage)
            rate = self.losses_per_hour / HOUR_S
            lost = now + random.exponential(1 / rate) if rate else float("inf")
            if lost < end:
                again.append(video)
                heapq.heappush(free, (lost + self.restart_s, worker))
                continue
            noted = max(noted, end) + per_file
            heapq.heappush(free, (end, worker))
        return videos / noted


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.archives.archive_growth", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("ledger", type=Path, help="scan.jsonl of a scan, one process per core")
    parser.add_argument("--workers", type=at_least(1), nargs="+", default=[2, 16, 128, 1024, 8192])
    parser.add_argument("--storage", type=positive, default=1250.0, metavar="MB/S")
    parser.add_argument("--losses-per-hour", type=positive, default=0.05, metavar="N")
    parser.add_argument("--price", type=positive, default=0.05, help="of a worker and hour")
    parser.add_argument("--files", type=at_least(1), default=FILES, help="to list (%(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="where the JSON goes")
    args = parser.parse_args(argv)
    return run_cli(lambda: _predict(args))


def _predict(args: argparse.Namespace) -> int:
    if not args.ledger.is_file():
        raise UserError(f"{args.ledger}: expected the ledger of a scan, received no such file")
    lines = args.ledger.read_text(encoding="utf-8").splitlines()
    judged = [r for r in map(json.loads, lines) if r["status"] == JUDGED and not r["still"]]
    if not judged:
        raise UserError(f"{args.ledger}: expected the ledger of a scan with judged videos")
    listing, results = _alone(args.files)
    stages = Stages(
        listing_s=listing,
        results_s=results,
        judge_s=[record["elapsed_s"] for record in judged],
        bytes=float(np.mean([record["size"] for record in judged])),
        storage_bytes_s=args.storage * 1e6,
        losses_per_hour=args.losses_per_hour,
    )
    rows = [_row(stages, workers, args.price) for workers in args.workers]
    mean = float(np.mean(stages.judge_s))
    print(f"{len(judged)} videos of {stages.bytes / 1e6:.2f} MB, {mean:.2f} s of a worker each")
    print(f"of a worker's time: {_shares(judged, mean)}")
    print(
        f"the command: {1e6 * listing:.0f} µs to list a file, {1e6 * results:.0f} µs to note it, "
        f"{peak_mib():.0f} MiB at most with {args.files:,} files"
    )
    heads = f"{'workers':>8}{'videos/h':>12}{'simulated':>12}  {'held up by':<22}"
    print(f"{heads}hours (cost) for …")
    for row in rows:
        hours = "  ".join(
            f"10^{len(str(size)) - 1}: {row['hours'][str(size)]:.3g} ({row['cost'][str(size)]:.3g})"
            for size in SIZES
        )
        numbers = f"{row['workers']:>8}{row['per_hour']:>12.0f}{row['simulated_per_hour']:>12.0f}"
        print(f"{numbers}  {row['held_up_by']:<22}{hours}")
    found = {"settings": settings(args, ("storage", "losses_per_hour")), "rows": rows}
    write_json(args.out, found)
    return 0


def _shares(judged: Sequence[dict[str, Any]], mean: float) -> str:
    """What part of a worker's time each stage takes, the largest first."""
    total: Counter[str] = Counter()
    for record in judged:
        total.update(record.get("stage_s") or {})
    if not total:
        return "not in this ledger, which an older version wrote"
    parts = [(name, seconds / len(judged) / mean) for name, seconds in total.most_common()]
    rest = ("the rest", 1.0 - sum(share for _, share in parts))
    return ", ".join(f"{name} {share:.0%}" for name, share in (*parts, rest))


def _row(stages: Stages, workers: int, price: float) -> dict[str, object]:
    bounds = stages.bounds(workers)
    held_up_by = min(bounds, key=bounds.__getitem__)
    rate = bounds[held_up_by]
    simulated = stages.simulated(workers, SIMULATED * workers)
    hours = {str(size): size / rate / HOUR_S for size in SIZES}
    return {
        "workers": workers,
        "per_hour": rate * HOUR_S,
        "simulated_per_hour": simulated * HOUR_S,
        "held_up_by": held_up_by,
        "hours": hours,
        "cost": {size: workers * price * hour for size, hour in hours.items()},
    }


def _alone(files: int) -> tuple[float, float]:
    """Measure what the command does by itself: seconds to list a file and to note its record."""
    with tempfile.TemporaryDirectory() as folder:
        archive, out = Path(folder) / "in", Path(folder) / "out"
        out.mkdir()
        for number in range(files):
            path = archive / f"{number % 100:02}" / f"{number:06}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        with Ledger(out, "key", 1.0) as ledger, closing(Worklist()) as worklist:
            began = perf_counter()
            for candidate in find([archive]):
                worklist.add(candidate)
            worklist.settle_known(ledger)
            listed = perf_counter()
            for number, candidate in worklist.left():
                worklist.settle(number, *ledger.add(_record(candidate)))
            noted = perf_counter()
        if not (out / LEDGER).is_file():
            raise RuntimeError("expected a ledger")
    return (listed - began) / files, (noted - listed) / files


def _record(candidate: Candidate) -> dict[str, object]:
    """As long as that of a judged file."""
    timeline = [[0.01 * point, 0.5] for point in range(96)]
    facts = {"path": candidate.path, "size": candidate.size, "status": JUDGED, "verdict": "REAL"}
    return {**facts, "fake_probability": 0.5, "seconds": 1.0, "timeline": timeline}


if __name__ == "__main__":
    sys.exit(main())
