"""Long run on drawn faces, and what grows: `python -m benchmarks.streams.soak --minutes 30`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.bundle import open_bundle
from deploy.judging.options import at_least, positive
from deploy.log_lines import set_up_logging
from keras_ddl.edge.bundle import DEFAULT_BUNDLE
from keras_ddl.edge.errors import CHECK_FAILED, Parser, UserError, run_cli
from keras_ddl.edge.files import write_json

if TYPE_CHECKING:
    from benchmarks.streams.synthetic_run import Sample, SyntheticRun

OUT = Path("runs/soak.json")
SIZE, FPS = "640x480", 25
WARM = 0.25  # of the run, before memory is expected to stand still
GROWTH_MIB = 16.0  # by how much memory may rise after that, along a straight line


@dataclass(frozen=True)
class Growth:
    """A straight line through samples after the warm-up.

    Attributes:
        slope: MiB per hour.
        rise: MiB along the line from its first sample to its last.
        start: MiB at its beginning.
    """

    slope: float
    rise: float
    start: float


def growth(samples: Sequence[Sample], seconds: float) -> Growth:
    """Fit memory after the warm-up; zero where there are fewer than two samples."""
    late = [sample for sample in samples if sample.seconds >= WARM * seconds]
    if len(late) < 2:
        return Growth(0.0, 0.0, 0.0)
    times = np.array([sample.seconds for sample in late])
    memory = np.array([sample.memory for sample in late]) / 2**20
    slope, start = np.polyfit(times - times[0], memory, 1)
    return Growth(float(slope) * 3600.0, float(slope * (times[-1] - times[0])), float(start))


def problems(run: SyntheticRun, most_mib: float = GROWTH_MIB) -> list[str]:
    """What a run that could go on for days would not show, one line each.

    Args:
        run: The run.
        most_mib: By how much memory may rise after the warm-up.
    """
    found = []
    grown = growth(run.samples, run.seconds)
    if grown.rise > most_mib:
        found.append(f"memory rose by {grown.rise:.0f} MiB ({grown.slope:+.0f} MiB per hour)")
    late = [sample for sample in run.samples if sample.seconds >= WARM * run.seconds]
    for what in ("threads", "files"):
        values = [getattr(sample, what) for sample in late]
        if values and values[-1] > values[0]:
            found.append(f"{what} grew from {values[0]} to {values[-1]}")
    if run.written != run.made:
        found.append(f"{run.made - run.written} of {run.made} records were not written")
    if run.gaps:
        found.append(f"{run.gaps} verdicts are missing")
    if not run.clips:
        found.append("no clip was judged")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 4 when something grew or was lost."""
    parser = Parser(prog="python -m benchmarks.streams.soak", description=(__doc__ or "").strip())
    parser.add_argument("--minutes", type=positive, default=30.0, help="(default: %(default)g)")
    parser.add_argument("--sources", type=at_least(1), default=4, help="(default: %(default)s)")
    parser.add_argument("--bundle", type=Path, default=DEFAULT_BUNDLE, help="%(default)s")
    parser.add_argument("--threads", type=at_least(1), default=1, help="(default: %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="report (default: %(default)s)")
    args = parser.parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    from benchmarks.streams.synthetic_run import watch_synthetic

    addresses = [
        f"synthetic://?size={SIZE}&fps={FPS}&seed={index}&fake={index % 2}"
        for index in range(args.sources)
    ]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    bundle, backend = open_bundle(args.bundle, args.threads)
    seconds = args.minutes * 60.0
    print(f"{args.sources} sources, {SIZE}, {FPS} fps, {args.minutes:g} minutes", file=sys.stderr)
    with backend:
        lines = args.out.with_suffix(".jsonl")
        run = watch_synthetic(bundle, backend, seconds, lines, addresses)
    grown, found = growth(run.samples, seconds), problems(run)
    report = {
        "minutes": args.minutes,
        "sources": args.sources,
        "growth": asdict(grown),
        "frames": run.frames,
        "dropped": run.dropped,
        "clips": run.clips,
        "events": run.events,
        "delay_s": {"first": _delays(run, 0.0), "last": _delays(run, 0.75 * seconds)},
        "problems": found,
        "samples": [asdict(sample) for sample in run.samples],
    }
    write_json(args.out, report)
    print(summary(run))
    print(f"report: {args.out}")
    if found:
        raise UserError("; ".join(found), CHECK_FAILED)
    return 0


def _delays(run: SyntheticRun, since: float) -> dict[str, float | None]:
    """Percentiles of a quarter of the run, None without a clip in it."""
    until = since + 0.25 * run.seconds
    values = {f"p{p}": run.delay(p, since, until) for p in (50, 95)}
    return {name: round(value, 4) if np.isfinite(value) else None for name, value in values.items()}


def summary(run: SyntheticRun) -> str:
    """The run in a few lines."""
    grown, quarter = growth(run.samples, run.seconds), 0.25 * run.seconds
    last = run.samples[-1] if run.samples else None
    drops = ", ".join(f"{cause} {count}" for cause, count in sorted(run.dropped.items()))
    first, final = run.delay(95, 0.0, quarter), run.delay(95, 3 * quarter)
    return "\n".join(
        (
            f"memory {grown.start:.0f} MiB after warm-up, {grown.slope:+.1f} MiB per hour "
            f"({grown.rise:+.1f} MiB in the run)",
            f"threads {last.threads if last else 0}, open files {last.files if last else 0}",
            f"{run.frames} frames, dropped: {drops or 'none'}",
            f"{run.clips} clips, {run.events} verdicts, {run.gaps} missing, "
            f"{run.written} of {run.made} records written",
            f"capture to verdict, p95: {first:.2f} s in the first quarter, {final:.2f} s in the "
            "last",
        )
    )


if __name__ == "__main__":
    raise SystemExit(main())
