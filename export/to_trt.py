"""Build a TensorRT engine from a bundle: `python export/to_trt.py --fp16 [BUNDLE]`.

This version looks at the machine and says what is missing; it does not build engines yet.
Exit codes are in docs/exit-codes.md. Needs no TensorFlow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from export.machine import first_gpu, tensorrt_version
from keras_ddl.clipspec import ClipSpec
from keras_ddl.errors import MISSING, Parser, UserError, run_cli

DEFAULT_BUNDLE = Path("runs/latest/bundle")
PRECISIONS = {
    "fp32": "single precision, the reference",
    "fp16": "half precision, what most GPUs are fast at",
    "int8": "8-bit integers; needs a bundle that was quantised",
    "best": "whichever of them is fastest here",
}


def check_bundle(bundle: Path) -> ClipSpec:
    """The contract of a bundle whose files are there and readable.

    Raises:
        UserError: a file is missing (exit code 3) or unreadable (2).
    """
    for name in ("model.onnx", "clipspec.json"):
        if not (bundle / name).is_file():
            raise UserError(
                f"expected {name} in bundle '{bundle}', found none: make one with "
                "python export/to_onnx.py, after make demo or python -m keras_ddl.train",
                MISSING,
            )
    try:
        return ClipSpec.read(bundle / "clipspec.json")
    except ValueError as error:
        raise UserError(f"cannot read '{bundle / 'clipspec.json'}': {error}") from error


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(prog="to_trt.py", description=__doc__.splitlines()[0])
    result.add_argument(
        "bundle", nargs="?", type=Path, default=DEFAULT_BUNDLE, help="default: %(default)s"
    )
    group = result.add_argument_group("precision (default: fp16)").add_mutually_exclusive_group()
    for name, text in PRECISIONS.items():
        group.add_argument(
            f"--{name}", dest="precision", action="store_const", const=name, help=text
        )
    result.set_defaults(precision="fp16")
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = parser().parse_args(argv)

    def body() -> int:
        check_bundle(arguments.bundle)
        version, gpu = tensorrt_version(), first_gpu()
        raise UserError(
            f"found '{arguments.bundle}', TensorRT {version} and {gpu.name}, but this version of "
            f"keras-ddl does not build {arguments.precision} engines yet: run the bundle with "
            "python deploy/stream.py",
            MISSING,
        )

    return run_cli(body)


if __name__ == "__main__":
    sys.exit(main())
