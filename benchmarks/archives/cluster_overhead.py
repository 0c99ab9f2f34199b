"""Overhead of a Ray cluster over processes: `python -m benchmarks.archives.cluster_overhead`.

Part of `make bench`. The same videos of ten seconds are judged by processes of this machine and by
as many workers of a cluster on loopback, in turn, so that neighbours slow both alike. Starting the
pools, which each scan does once, is timed apart.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.settings import BENCH, merge_json
from deploy.scanning.file_record import JUDGED, lost_record
from deploy.scanning.files import Candidate, find
from deploy.scanning.judge import judge_in_worker
from deploy.scanning.kit import Options, open_kit
from deploy.scanning.results.place import RECORDS, THUMBS
from keras_ddl.edge.bundle import DEFAULT_BUNDLE
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.values import at_least
from keras_ddl.edge.workers.cluster import ClusterOptions
from keras_ddl.edge.workers.pools import open_pool

SECONDS, FPS = 10, 25
WORKERS = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.archives.cluster_overhead", description=description)
    parser.add_argument("bundle", type=Path, nargs="?", default=DEFAULT_BUNDLE)
    parser.add_argument("--videos", type=at_least(2), default=8, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=at_least(1), default=3, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=BENCH, help="JSON (default: %(default)s)")
    args = parser.parse_args(argv)
    return run_cli(lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # all on 127.0.0.1; read at the import
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    need("ray", "a cluster", "cluster")
    times: dict[str, list[tuple[float, float]]] = {"processes": [], "cluster": []}
    with tempfile.TemporaryDirectory() as folder, _cluster() as address:
        videos = _videos(Path(folder), args.videos)
        for name in (RECORDS, THUMBS):
            (Path(folder) / name).mkdir()
        options = Options(str(args.bundle), "cpu", "real", "haar", 3, 500.0, folder)
        for _ in range(args.rounds):
            for name, where in (("processes", None), ("cluster", ClusterOptions(address))):
                times[name].append(_timed(where, options, videos))
    seconds = {name: median(work for _, work in rounds) for name, rounds in times.items()}
    starts = {name: median(start for start, _ in rounds) for name, rounds in times.items()}
    ratios = [c[1] / p[1] for c, p in zip(times["cluster"], times["processes"], strict=True)]
    overhead = median(ratios) - 1
    print(f"{args.videos} videos of {SECONDS} s by {WORKERS} workers, {args.rounds} rounds in turn")
    for name in times:
        print(f"  {name:<10}{seconds[name]:7.2f} s, first result after {starts[name]:.2f} s more")
    print(f"  the cluster takes {overhead:+.1%} (bar: +10 %)")
    found = {"seconds": seconds, "starts": starts, "ratios": ratios, "overhead": overhead}
    merge_json(args.out, {"cluster_overhead": found})
    return 0


def _timed(
    where: ClusterOptions | None, options: Options, videos: list[Candidate]
) -> tuple[float, float]:
    """Seconds until every worker stands ready, and then for all videos."""
    began = perf_counter()
    lost = partial(lost_record, timeout_s=options.timeout_s)
    with open_pool(where, WORKERS, partial(open_kit, options), judge_in_worker) as pool:
        list(pool.map(videos[:WORKERS], lost))
        ready = perf_counter()
        found = [record for _, record in pool.map(videos, lost)]
        done = perf_counter()
    bad = [record["reason"] for record in found if record["status"] != JUDGED]
    if bad:
        raise RuntimeError(bad[0])
    return ready - began, done - ready


def _videos(folder: Path, count: int) -> list[Candidate]:
    """As many copies of a drawn face."""
    from deploy.sources import open_source
    from keras_ddl.edge.video import VideoWriter

    first = folder / "videos" / "0.mp4"
    first.parent.mkdir()
    address = f"synthetic://?faces=1&size=640x480&fps={FPS}"
    with open_source(address) as source, VideoWriter(first, FPS) as writer:
        for frame in islice(source, SECONDS * FPS):
            writer.write(frame.image)
    for number in range(1, count):
        shutil.copy(first, first.with_name(f"{number}.mp4"))
    return list(find([first.parent]))


@contextmanager
def _cluster() -> Iterator[str]:
    """A cluster on loopback: a head without workers, and a node with room for all."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    cluster.add_node(num_cpus=WORKERS)
    try:
        yield cluster.address
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    sys.exit(main())
