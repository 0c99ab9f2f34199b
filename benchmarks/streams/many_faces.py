"""One to ten faces in four live sources on one machine: `python -m benchmarks.streams.many_faces`.

Sources of 640 × 480 at 25 frames a second, drawn here, as decoding cameras would cost something
elsewhere. A clip of each face every second. Without a bundle the shipped preview is watched with,
in fp32 and, in the same run and in turn, in int8.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.networks.preview_int8 import preview_int8
from benchmarks.settings import BENCH, merge_json
from deploy.bundle import open_bundle
from deploy.log_lines import set_up_logging
from keras_ddl.edge.bundle import PRETRAINED
from keras_ddl.edge.errors import Parser, run_cli
from keras_ddl.edge.faces.detect import NAMES
from keras_ddl.edge.optional_import import need
from keras_ddl.edge.values import at_least, positive

if TYPE_CHECKING:
    from benchmarks.streams.synthetic_run import SyntheticRun

SOURCES = 4
FACES = (1, 2, 4, 7, 10)
EVERY_S = 1.0
SUPERSEDED = "superseded"
NAME = 14
HEAD = (
    f"{'bundle':<{NAME}}{'faces':>5}{'sources':>9}{'clips':>7}{'superseded':>12}{'dropped':>9}"
    f"{'p50 s':>7}{'p95 s':>7}{'CPU':>6}{'detect':>8}{'the rest, a face':>18}"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    description = (__doc__ or "").partition("\n")[0]
    parser = Parser(prog="python -m benchmarks.streams.many_faces", description=description)
    parser.add_argument("bundles", type=Path, nargs="*", help="the preview in fp32 and int8")
    parser.add_argument("--faces", type=at_least(1), nargs="+", default=FACES, metavar="N")
    parser.add_argument("--seconds", type=positive, default=30.0, help="each (%(default)g)")
    parser.add_argument("--detector", choices=NAMES, default="auto", help="(%(default)s)")
    parser.add_argument("--threads", type=at_least(1), default=2, help="of the model (%(default)s)")
    parser.add_argument("--out", type=Path, default=BENCH, help="JSON (default: %(default)s)")
    args = parser.parse_args(argv)
    set_up_logging()
    return run_cli(lambda: _measure(args))


def _measure(args: argparse.Namespace) -> int:
    need("cv2", "finding faces").setNumThreads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bundles = args.bundles or [PRETRAINED, preview_int8(Path(folder, "preview-int8"))]
        print(HEAD)
        for faces in args.faces:
            for path in bundles:
                run = _watch(path, Path(folder, "live.jsonl"), faces, args)
                rows.append({"bundle": path.name, "faces": faces, **numbers(run, faces)})
                print(line(rows[-1]), flush=True)
    merge_json(args.out, {"many_faces": {"threads": args.threads, "rows": rows}})
    return 0


def _watch(path: Path, lines: Path, faces: int, args: argparse.Namespace) -> SyntheticRun:
    from benchmarks.streams.synthetic_run import watch_synthetic

    lines.unlink(missing_ok=True)
    bundle, backend = open_bundle(path, args.threads)
    with backend:
        return watch_synthetic(
            bundle, backend, args.seconds, lines, sources_of(faces), EVERY_S, args.detector
        )


def sources_of(faces: int) -> list[str]:
    """Addresses of at most four sources that have so many faces together."""
    sources = min(SOURCES, faces)
    shares = [faces // sources + (index < faces % sources) for index in range(sources)]
    return [
        f"synthetic://?faces={share}&size=640x480&fps=25&seed={index}"
        for index, share in enumerate(shares)
    ]


def numbers(run: SyntheticRun, faces: int) -> dict[str, Any]:
    """A run for JSON: shares are of one core, delays in seconds."""
    stages = {name: value / run.seconds for name, value in run.stages.items() if value}
    cpu = run.cpu / run.seconds
    return {
        "sources": min(SOURCES, faces),
        "clips": run.clips,
        "superseded": run.dropped.get(SUPERSEDED, 0),
        "dropped_frames": sum(n for cause, n in run.dropped.items() if cause != SUPERSEDED),
        "delay_p50": run.delay(50),
        "delay_p95": run.delay(95),
        "cpu": cpu,
        "cpu_of_stage": stages,
        "rest_per_face": (cpu - stages.get("detect", 0.0)) / faces,
    }


def line(row: Mapping[str, Any]) -> str:
    """A run as text, below `HEAD`."""
    detect = row["cpu_of_stage"].get("detect", 0.0)
    return (
        f"{row['bundle']:<{NAME}}{row['faces']:>5}{row['sources']:>9}{row['clips']:>7}"
        f"{row['superseded']:>12}{row['dropped_frames']:>9}{row['delay_p50']:>7.2f}"
        f"{row['delay_p95']:>7.2f}{row['cpu']:>6.0%}{detect:>8.0%}{row['rest_per_face']:>18.1%}"
    )


if __name__ == "__main__":
    sys.exit(main())
