"""Untrained bundles to time things with: `python -m benchmarks.networks.untrained_bundle`.

Compact Xception with both modules, untrained. It costs what a trained one costs, and what it says
means nothing: its contract says "synthetic", so that `deploy` gives no verdict on footage with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.settings import add_settings
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.errors import Parser, run_cli

if TYPE_CHECKING:
    import onnx

OUT = Path("runs/untrained-bundle")
FORMS = ("fp32", "int8", "int8, CPU form")
RANGE = 4.0  # of what convolutions give; any will do
KINDS = {"fp32": FORMS[0], "int8": FORMS[2]}
FRAMES = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python -m benchmarks.networks.untrained_bundle",
        description="Write a bundle of an untrained network, to measure speed with.",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default %(default)s)")
    add_settings(parser, ("size", "width"))
    parser.add_argument("--precision", choices=sorted(KINDS), default="fp32", help="(fp32)")
    arguments = parser.parse_args(argv)
    return run_cli(
        lambda: _write(arguments.out, arguments.size, arguments.width, arguments.precision)
    )


def _write(out: Path, size: int, width: float, precision: str) -> int:
    if (out / MODEL_FILE).is_file():
        print(f"{out} is there already")
        return 0
    from export.bundle_writer import write_bundle
    from keras_ddl.edge.clipspec import ClipSpec

    _, graphs = untrained_graphs([KINDS[precision]], size, FRAMES, width)
    spec = ClipSpec(frames=FRAMES, size=size, training={"dataset": "synthetic"})
    out.parent.mkdir(parents=True, exist_ok=True)
    print(write_bundle(out, graphs[KINDS[precision]], spec, lambda candidate: None))
    return 0


def untrained(modules: Sequence[str], size: int, frames: int, width: float = 1.0) -> Any:
    """Compact Xception with γ = 0.5 in its modules.

    At 0 a runtime may leave the modules out, and half of them has no gradient.
    """
    from keras_ddl.framework import keras
    from keras_ddl.networks.model import build_model

    keras.utils.set_random_seed(0)
    model = build_model("compact_xception", modules, frames, size, width=width)
    for layer in model.layers:
        if layer.name.endswith(("_dfdc", "_msa")):
            layer.gamma.assign([0.5])
    return model


def untrained_graphs(
    forms: Sequence[str], size: int, frames: int, width: float
) -> tuple[float, dict[str, onnx.ModelProto]]:
    """Compact Xception with both modules, without its map, in some of `FORMS`.

    The ranges of int8 are those of noise: speed asks for no more.

    Args:
        forms: Which.
        size: Side of a crop in pixels.
        frames: Of a clip.
        width: Factor on channels.

    Returns:
        GMAC of a clip, and form → graph.
    """
    import numpy as np

    from export.graph.cpu_int8 import cpu_int8, open_results
    from export.to_onnx import onnx_from_keras
    from keras_ddl.networks.cost import macs
    from keras_ddl.quantization.calibration import calibrate
    from keras_ddl.quantization.quantise import quantised

    model = untrained(("dfdc", "msa"), size, frames, width)
    graphs: dict[str, onnx.ModelProto] = {}
    if FORMS[0] in forms:
        graphs[FORMS[0]] = onnx_from_keras(model, with_map=False)
    if set(forms) & set(FORMS[1:]):
        int8 = quantised(model)
        noise = np.random.default_rng(0).integers(0, 256, (1, frames, size, size, 3), np.uint8)
        calibrate(int8, [noise])
        rounded = onnx_from_keras(int8, with_map=False)
        graphs[FORMS[1]] = rounded
        graphs[FORMS[2]] = cpu_int8(rounded, dict.fromkeys(open_results(rounded), RANGE))
    return sum(macs(model).values()) / 1e9, {form: graphs[form] for form in forms}


if __name__ == "__main__":
    raise SystemExit(main())
