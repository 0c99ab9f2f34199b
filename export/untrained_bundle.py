"""A bundle to time things with: `python -m export.untrained_bundle`.

Compact Xception with both modules at full width, 256 px, 8 frames, weights as they start. It costs
what a trained one costs, and what it says means nothing: its contract says "synthetic", so that
`deploy` gives no verdict with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_ddl.errors import Parser, run_cli

OUT = Path("runs/untrained-bundle")
BACKBONE, SIZE, FRAMES = "compact_xception", 256, 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m export.untrained_bundle",
        description="Write a bundle of an untrained network, to measure speed with.",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default %(default)s)")
    parser.add_argument("--size", type=int, default=SIZE, help="crop side in pixels (%(default)s)")
    parser.add_argument("--force", action="store_true", help="also where one is already")
    arguments = parser.parse_args(argv)
    return run_cli(lambda: _write(arguments.out, arguments.size, arguments.force))


def _write(out: Path, size: int, force: bool) -> int:
    if (out / "model.onnx").is_file() and not force:
        print(f"{out} is there already")
        return 0
    from export.bundle import write_bundle
    from export.to_onnx import onnx_from_keras
    from keras_ddl.clipspec import ClipSpec
    from keras_ddl.framework import keras
    from keras_ddl.model import build_model

    keras.utils.set_random_seed(0)
    model = build_model(BACKBONE, ("dfdc", "msa"), frames=FRAMES, size=size)
    spec = ClipSpec(frames=FRAMES, size=size, training={"dataset": "synthetic"})
    out.parent.mkdir(parents=True, exist_ok=True)
    print(write_bundle(out, onnx_from_keras(model), spec, lambda candidate: None))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
