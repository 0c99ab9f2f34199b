"""Ten minutes beyond what the machine can do: `python -m benchmarks.streams.overload`.

Ten faces in four live sources, a clip of each every second; then clips more often and more faces,
until a third of them, or of the frames, is dropped. That load is held and told by tenths of the
run. The policy of docs/streaming.md drops what is too much, so verdicts must not come later and
later: it fails where they do, or where nothing was dropped.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.settings import write_report
from benchmarks.streams.many_faces import SUPERSEDED, sources_of
from benchmarks.streams.soak import problems
from deploy.backends import Backend
from deploy.bundle import Bundle, open_bundle
from deploy.log_lines import set_up_logging
from keras_ddl.edge.bundle import default_bundle
from keras_ddl.edge.errors import CHECK_FAILED, Parser, UserError, run_cli
from keras_ddl.edge.faces.detect import NAMES
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.values import at_least, positive

if TYPE_CHECKING:
    from benchmarks.streams.synthetic_run import SyntheticRun

OUT = Path("runs/overload.json")
# Faces, and seconds between two clips of each: the next is tried where too little is dropped.
LOADS = ((10, 1.0), (10, 0.5), (10, 0.25), (20, 0.25), (32, 0.2), (32, 0.1))
TRIAL_S = 15.0
ENOUGH = 1 / 3  # dropped, of the clips or of the frames
TENTHS = 10
EARLY, LATE = slice(1, 4), slice(-3, None)  # tenths: the second to the fourth, the last three
GROWTH = 1.5  # of the delay, that fails
# What memory may rise by after a quarter of the run: it settles slowly under load, and a queue that
# kept what is too much would take more than that each minute, half a MiB a clip, one a frame.
MEMORY_MIB = 64.0


@dataclass(frozen=True)
class Tenth:
    """A tenth of the run.

    Attributes:
        until_s: Its end, seconds since the start.
        clips: Judged in it.
        dropped: By cause, frames and clips.
        p50, p95: Of the seconds from capture to verdict; NaN without a clip.
        memory_mib: At its end.
    """

    until_s: float
    clips: int
    dropped: Mapping[str, int]
    p50: float
    p95: float
    memory_mib: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 4 when delays grew or nothing was dropped."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.streams.overload", description=description)
    parser.add_argument(
        "bundle", type=Path, nargs="?", default=default_bundle(), help="default: %(default)s"
    )
    parser.add_argument("--minutes", type=positive, default=10.0, help="(default: %(default)g)")
    parser.add_argument(
        "--trial", type=positive, default=TRIAL_S, help="seconds of each load tried (%(default)g)"
    )
    parser.add_argument("--detector", choices=NAMES, default="auto", help="(%(default)s)")
    parser.add_argument("--threads", type=at_least(1), default=1, help="of the model (%(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="report (default: %(default)s)")
    args = parser.parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    need("cv2", "finding faces").setNumThreads(1)
    bundle, backend = open_bundle(args.bundle, args.threads)
    with backend, tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "live.jsonl"
        for faces, every_s in LOADS:
            trial = _watch(bundle, backend, args.trial, lines, faces, every_s, args.detector)
            print(
                f"{faces} faces, a clip every {every_s:g} s: {lost(trial):.0%} dropped", flush=True
            )
            if lost(trial) >= ENOUGH:
                break
        seconds = 60.0 * args.minutes
        run = _watch(bundle, backend, seconds, lines, faces, every_s, args.detector)
    tenths = tenths_of(run)
    found = [*grown(tenths), *problems(run, MEMORY_MIB)]
    load = {"bundle": str(args.bundle), "faces": faces, "every_s": every_s}
    result = {**load, "seconds": seconds, "tenths": [_plain(one) for one in tenths]}
    write_report(args.out, {**result, "problems": found}, table(tenths))
    if found:
        raise UserError("; ".join(found), CHECK_FAILED)
    return 0


def _watch(
    bundle: Bundle,
    backend: Backend,
    seconds: float,
    lines: Path,
    faces: int,
    every_s: float,
    detector: str,
) -> SyntheticRun:
    from benchmarks.streams.synthetic_run import watch_synthetic

    lines.unlink(missing_ok=True)
    addresses = sources_of(faces)
    return watch_synthetic(bundle, backend, seconds, lines, addresses, every_s, detector)


def lost(run: SyntheticRun) -> float:
    """Which share of the clips or of the frames was dropped, whichever is larger."""
    clips = run.dropped.get(SUPERSEDED, 0)
    frames = sum(run.dropped.values()) - clips
    return max(clips / max(1, clips + run.clips), frames / max(1, frames + run.frames))


def tenths_of(run: SyntheticRun) -> list[Tenth]:
    """Cut a run into tenths; what a sample says counts for the tenth that it lies in."""
    tenths = []
    before: Counter[str] = Counter()
    for since, until in pairwise(np.linspace(0.0, run.seconds, TENTHS + 1).tolist()):
        here = [sample for sample in run.samples if since < sample.seconds <= until]
        now = Counter(here[-1].dropped) if here else before
        tenths.append(
            Tenth(
                until_s=until,
                clips=sum(since <= moment < until for moment, _ in run.delays),
                dropped=dict(now - before),
                p50=run.delay(50, since, until),
                p95=run.delay(95, since, until),
                memory_mib=here[-1].memory / 2**20 if here else float("nan"),
            )
        )
        before = now
    return tenths


def _plain(tenth: Tenth) -> dict[str, Any]:
    """A tenth for JSON, which has no NaN."""
    return {name: None if value != value else value for name, value in asdict(tenth).items()}


def grown(tenths: Sequence[Tenth]) -> list[str]:
    """What a run beyond the machine's capacity must not show, one line each.

    Delays grow where the median of the last three tenths' 95th percentiles is more than 1.5 times
    that of the second to the fourth; the first is left to the start.
    """
    found = []
    if not any(sum(one.dropped.values()) for one in tenths):
        found.append("nothing was dropped: the load is not beyond this machine")
    without = [str(number) for number, one in enumerate(tenths, 1) if not one.clips]
    if without:
        return [*found, f"no clip was judged in tenth {', '.join(without)}"]
    first, last = (median(one.p95 for one in tenths[part]) for part in (EARLY, LATE))
    if last > GROWTH * first:
        found.append(f"capture to verdict grew: p95 {first:.2f} s at first, {last:.2f} s at last")
    return found


def table(tenths: Sequence[Tenth]) -> str:
    """The run as text."""
    causes = sorted({cause for one in tenths for cause in one.dropped})
    wide = [f"{cause:>{max(8, len(cause) + 2)}}" for cause in causes]
    lines = [f"{'until min':>9}{'clips':>7}{''.join(wide)}{'p50 s':>8}{'p95 s':>8}{'MiB':>7}"]
    for one in tenths:
        counts = [
            f"{one.dropped.get(cause, 0):>{len(head)}}"
            for cause, head in zip(causes, wide, strict=True)
        ]
        lines.append(
            f"{one.until_s / 60.0:>9.1f}{one.clips:>7}{''.join(counts)}{one.p50:>8.2f}"
            f"{one.p95:>8.2f}{one.memory_mib:>7.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
