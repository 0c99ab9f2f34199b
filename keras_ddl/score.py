"""`python -m keras_ddl.score VIDEO_OR_IMAGE…`: a verdict for each face, and the evidence picture.

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

from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import Parser, UserError, run_cli
from keras_ddl.runs import find_run

OUT = Path("evidence.png")
REPO = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m keras_ddl.score",
        description="Judge videos or pictures: a line for each face, and the evidence drawn.",
    )
    parser.add_argument("files", type=Path, nargs="+", metavar="VIDEO_OR_IMAGE")
    parser.add_argument("--run", type=Path, help="run folder; default runs/latest")
    parser.add_argument("--out", type=Path, default=OUT, help="the picture (default %(default)s)")
    parser.add_argument(
        "--domain", choices=("real", "synthetic"), default="real", help="what the files show"
    )
    args = parser.parse_args(argv)
    return run_cli(lambda: _run(args))


def _run(args: argparse.Namespace) -> int:
    run = find_run(args.run)
    if not any(file.is_file() for file in args.files):  # one of several is told of in its turn
        received = f"received {args.files[0]}, which is no file"
        raise UserError(f"expected a video or a picture, {received}; check the name")
    bundle = run / "bundle"
    if _stale(run, bundle):
        print(f"exporting {run} first", file=sys.stderr, flush=True)
        code = _call("export/to_onnx.py", str(run))
        if code:
            return code
    files = [str(file) for file in args.files]
    options = ["--bundle", str(bundle), "--out", str(args.out), "--domain", args.domain, "--faces"]
    detector = ClipSpec.read(bundle / "clipspec.json").detector  # the one the crops were cut with
    if detector:
        options += ["--detector", detector]
    return _call("deploy/contact_sheet.py", *files, *options)


def _stale(run: Path, bundle: Path) -> bool:
    """Whether a run's spec, threshold and temperature included, is not the bundle's."""
    spec = bundle / "clipspec.json"
    ready = spec.is_file() and (bundle / "model.onnx").is_file()
    return not ready or spec.stat().st_mtime_ns < (run / "clipspec.json").stat().st_mtime_ns


def _call(script: str, *arguments: str) -> int:
    """Run a script of the other halves; this one imports neither."""
    return subprocess.run([sys.executable, str(REPO / script), *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
