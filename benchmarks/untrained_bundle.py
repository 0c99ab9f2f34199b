"""A bundle to time things with: `python -m benchmarks.untrained_bundle`.

Compact Xception with both modules, untrained. It costs what a trained one costs, and what it says
means nothing: its contract says "synthetic", so that `deploy` gives no verdict on footage with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.untrained import FORMS
from keras_ddl.edge.errors import Parser, run_cli

OUT = Path("runs/untrained-bundle")
KINDS = {"fp32": FORMS[0], "int8": FORMS[2]}
SIZE, FRAMES = 256, 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.untrained_bundle",
        description="Write a bundle of an untrained network, to measure speed with.",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default %(default)s)")
    parser.add_argument("--size", type=int, default=SIZE, help="crop side in pixels (%(default)s)")
    parser.add_argument("--width", type=float, default=1.0, help="factor on channels (1)")
    parser.add_argument("--precision", choices=sorted(KINDS), default="fp32", help="(fp32)")
    arguments = parser.parse_args(argv)
    return run_cli(
        lambda: _write(arguments.out, arguments.size, arguments.width, arguments.precision)
    )


def _write(out: Path, size: int, width: float, precision: str) -> int:
    if (out / "model.onnx").is_file():
        print(f"{out} is there already")
        return 0
    from benchmarks.untrained import untrained_graphs
    from export.bundle_writer import write_bundle
    from keras_ddl.edge.clipspec import ClipSpec

    _, graphs = untrained_graphs([KINDS[precision]], size, FRAMES, width)
    spec = ClipSpec(frames=FRAMES, size=size, training={"dataset": "synthetic"})
    out.parent.mkdir(parents=True, exist_ok=True)
    print(write_bundle(out, graphs[KINDS[precision]], spec, lambda candidate: None))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
