"""Verdict per face for videos and pictures: `python -m deploy.score VIDEO_OR_IMAGE…`.

It runs what a device runs: the run's exported bundle through the streaming pipeline. A run that has
no bundle yet, or an older one, is exported first. A file that is no video or picture costs a line
and the exit code, not the other files.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy import contact_sheet
from deploy.drawing.panels import picture_path
from deploy.judging.options import FOOTAGE
from keras_ddl.edge.bundle import PRETRAINED, RUN_BUNDLE, SPEC_FILE, is_bundle, read_spec
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.edge.runs import LATEST, RUNS, find_run

OUT = Path("evidence.png")
REPO = Path(__file__).resolve().parent.parent
EXPORT = "export/to_onnx.py"
SPAWNED = (EXPORT,)  # it needs TensorFlow, which this half does without


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m deploy.score",
        description="Judge videos or pictures: a line for each face, and the evidence drawn.",
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="VIDEO_OR_IMAGE")
    parser.add_argument(
        "--run", type=Path, help="run folder; default runs/latest, else the model that ships"
    )
    parser.add_argument(
        "--out", type=Path, default=OUT, help="the picture, a .png (default %(default)s)"
    )
    parser.add_argument("--domain", choices=FOOTAGE, default="real", help="what the files show")
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    if not any(file.is_file() for file in args.files):  # one of several is told of in its turn
        received = f"received {args.files[0]}, which is no file"
        raise UserError(f"expected a video or a picture, {received}; check the name")
    out = picture_path(args.out)  # now, and not when all is judged
    bundle = PRETRAINED
    if args.run or (RUNS / LATEST).exists() or not is_bundle(PRETRAINED):
        run = find_run(args.run)
        bundle = run / RUN_BUNDLE
        if code := _export(run, bundle):
            return code
    files = [str(file) for file in args.files]
    options = ["--bundle", str(bundle), "--out", str(out), "--domain", args.domain, "--faces"]
    detector = read_spec(bundle).detector  # the one the crops were cut with
    if detector:
        options += ["--detector", detector]
    return contact_sheet.main([*files, *options])


def _export(run: Path, bundle: Path) -> int:
    """Export a run whose bundle is not there or older; return the exit code."""
    if not is_stale(run, bundle):
        return 0
    print(f"exporting {run} first", file=sys.stderr, flush=True)
    return subprocess.run([sys.executable, str(REPO / EXPORT), str(run)], check=False).returncode


def is_stale(run: Path, bundle: Path) -> bool:
    """Return whether a run's spec, threshold and temperature included, is not the bundle's."""
    if not is_bundle(bundle):
        return True
    return (bundle / SPEC_FILE).stat().st_mtime_ns < (run / SPEC_FILE).stat().st_mtime_ns


if __name__ == "__main__":
    sys.exit(main())
