"""Speed of a device that watches and scans: `python -m benchmarks.streams.stream`.

One source of 640 × 480 at 25 frames per second with one drawn face, live and as a file. OpenCV and,
unless told otherwise, the model have one thread each, so that each stage's CPU time is that of its
thread; what no stage has is everything else.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.drawn_video import write_drawn
from benchmarks.settings import BENCH, merge_json
from deploy.bundle import open_bundle
from deploy.judging.options import at_least, positive
from deploy.log_lines import set_up_logging
from keras_ddl.edge.bundle import DEFAULT_BUNDLE
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.optional_import import need

if TYPE_CHECKING:
    from benchmarks.streams.synthetic_run import SyntheticRun

ADDRESS = "synthetic://?faces=1&size=640x480&fps=25"
FPS = 25.0
WORK = ("detect", "infer")  # what a detector is for; all else is overhead
QUARTER = 0.25


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(
        prog="python -m benchmarks.streams.stream", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "bundles", type=Path, nargs="*", default=[DEFAULT_BUNDLE], help=f"{DEFAULT_BUNDLE}"
    )
    parser.add_argument(
        "--seconds", type=positive, default=60.0, help="live part (default: %(default)g)"
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        default=1,
        help="of the model; the CPU time of more than one counts as overhead (default: 1)",
    )
    parser.add_argument("--out", type=Path, default=BENCH, help="JSON (default: %(default)s)")
    args = parser.parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    need("cv2", "finding faces").setNumThreads(1)
    results = {}
    for path in args.bundles:
        print(f"{path}:")
        results[path.name] = _measure(path, args.seconds, args.threads)
    merge_json(args.out, {"stream": results})
    return 0


def _measure(path: Path, seconds: float, threads: int) -> dict[str, Any]:
    """A live run and a scan with one bundle; prints what it found."""
    from benchmarks.streams.synthetic_run import watch_synthetic

    bundle, backend = open_bundle(path, threads)
    with tempfile.TemporaryDirectory() as folder:
        with backend:
            run = watch_synthetic(bundle, backend, seconds, Path(folder) / "live.jsonl", [ADDRESS])
        print(table(run))
        speed = _scan(path, Path(folder))
    print(f"  scan of files, one face: {speed:.1f} × real time")
    return {**numbers(run), "scan_x_real_time": speed}


def _scan(bundle: Path, folder: Path) -> float:
    """Seconds of video per second of scanning, model's start included."""
    from deploy import scan

    seconds, copies = 20, 2  # as many files as cores: both are at work
    for index in range(copies):
        write_drawn(folder / f"{index}.mp4", f"{ADDRESS}&seconds={seconds}&seed={index}", FPS)
    files = [str(folder / f"{index}.mp4") for index in range(copies)]
    options = ["--bundle", str(bundle), "--out", str(folder / "scan"), "--detector", "haar"]
    began = time.perf_counter()
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = scan.main([*files, *options])
    if code:
        raise UserError(f"the scan ended with {code}: {said.getvalue().splitlines()[-1]}", code)
    return copies * seconds / (time.perf_counter() - began)


def numbers(run: SyntheticRun) -> dict[str, Any]:
    """The live part for JSON: shares are of one core, delays in seconds."""
    last = (1 - QUARTER) * run.seconds
    stages = {name: value / run.seconds for name, value in run.stages.items() if value}
    cpu = run.cpu / run.seconds
    return {
        "seconds": run.seconds,
        "frames": run.frames,
        "expected_frames": round(run.seconds * FPS),
        "dropped": run.dropped,
        "clips": run.clips,
        "delay_p50": run.delay(50),
        "delay_p95": run.delay(95),
        "delay_p95_first": run.delay(95, 0.0, QUARTER * run.seconds),
        "delay_p95_last": run.delay(95, last),
        "cpu": cpu,
        "cpu_of_stage": stages,
        "overhead": cpu - sum(stages.get(name, 0.0) for name in WORK),
    }


def table(run: SyntheticRun) -> str:
    """The live part for people."""
    found = numbers(run)
    drops = ", ".join(f"{cause} {count}" for cause, count in sorted(run.dropped.items()))
    rows = [
        f"  live, {ADDRESS}, {run.seconds:g} s:",
        f"  {found['frames']} frames of {found['expected_frames']}, dropped: {drops or 'none'}",
        f"  capture to verdict: p50 {found['delay_p50']:.2f} s, p95 {found['delay_p95']:.2f} s; "
        f"p95 of the first quarter {found['delay_p95_first']:.2f} s, "
        f"of the last {found['delay_p95_last']:.2f} s",
        f"  CPU of one core: {found['cpu']:.0%}, overhead {found['overhead']:.0%}",
    ]
    for name, share in sorted(found["cpu_of_stage"].items(), key=lambda item: -item[1]):
        rows.append(f"    {name:<10}{share:>7.1%}")
    elsewhere = found["cpu"] - sum(found["cpu_of_stage"].values())
    rows.append(f"    {'elsewhere':<10}{elsewhere:>7.1%}")
    return "\n".join(rows)


if __name__ == "__main__":
    raise SystemExit(main())
