"""ONNX export of a run: `python export/to_onnx.py [RUN]` writes RUN/bundle/.

`--precision fp16` writes RUN/bundle-fp16/, with float32 where float16 would overflow or round too
much; `--precision int8` writes RUN/bundle-int8/ from the network that `keras_ddl.quantize` made,
`--rest fp16` or `--cpu` with it RUN/bundle-int8-fp16/ and RUN/bundle-int8-cpu/.

The graph takes raw uint8 clips and returns `fake_probability` and, for networks with DFDC,
`inconsistency_map`. It becomes final only after ONNX Runtime, and for float16 ONNX's own evaluator,
have given Keras' answer on the same clips. Exit codes are in docs/exit-codes.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from export.bundle_writer import write_bundle
from export.conversion.onnx_from_keras import onnx_from_keras
from export.conversion.run_clips import run_clips
from export.graph.precision import PRECISIONS, RESTS, Form
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.errors import Parser, run_cli

if TYPE_CHECKING:
    import onnx

    from keras_ddl.edge.clipspec import ClipSpec


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python export/to_onnx.py",
        description="Export a run to ONNX and prove that it kept the answer.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS, help="fp32")
    parser.add_argument("--rest", default="fp32", choices=RESTS, help="what int8 leaves; fp32")
    parser.add_argument("--cpu", action="store_true", help="int8 for ONNX Runtime's CPU kernels")
    parser.add_argument("--no-map", action="store_true", help="leave the inconsistency map out")
    arguments = parser.parse_args(argv)

    def body() -> int:
        form = Form(arguments.precision, arguments.rest, arguments.cpu)
        return _export(arguments.run, form, not arguments.no_map)

    return run_cli(body)


def _export(run: Path | None, form: Form, inconsistency_map: bool) -> int:
    from export.conversion.keras_parity import ask_keras, export_limits, exported_candidate
    from export.graph.precision import in_form
    from export.parity.prove import prove
    from keras_ddl.edge.files import read_json
    from keras_ddl.edge.runs import find_run

    folder = find_run(run)
    model, spec = _network(folder, form.precision)
    single = onnx_from_keras(model, inconsistency_map, temperature=spec.temperature, report=print)
    data = read_json(folder / "config.json")["data"]
    sample = run_clips(data, spec, "val")
    proto = in_form(single, form, sample.clips, lambda: run_clips(data, spec, "train").clips)
    bundle = write_bundle(
        folder / form.bundle,
        proto,
        spec,
        lambda written: prove(
            partial(ask_keras, model, temperature=spec.temperature),
            exported_candidate(written / MODEL_FILE, proto, single, model, form.precision),
            sample,
            export_limits(form.precision, spec.threshold),
            print,
        ),
    )
    _say(bundle, proto, form, spec)
    if "calibration" not in spec.metrics:
        print(
            f"threshold and temperature are not chosen yet: python -m keras_ddl.evaluate {folder}, "
            "then export again"
        )
    return 0


def _network(folder: Path, precision: str) -> tuple[Any, ClipSpec]:
    """The run's float network or its int8 one, and the spec."""
    from keras_ddl.build_network import load_run
    from keras_ddl.quantization.stored import load_quantised

    if precision == "int8":
        return load_quantised(folder)
    model, _, spec = load_run(folder)
    return model, spec


def _say(bundle: Path, proto: onnx.ModelProto, form: Form, spec: ClipSpec) -> None:
    from export.engine.operators import first_reader
    from export.graph.int8_share import int8_share
    from export.graph.onnx_graph import GraphCounts

    opset = proto.opset_import[0].version
    reader = "ONNX Runtime" if form.cpu else f"TensorRT {first_reader(opset)} or newer"
    print(
        f"{bundle / MODEL_FILE}: {GraphCounts.of(proto)}, opset {opset} for {reader}, "
        f"threshold {spec.threshold:.4g}, temperature {spec.temperature:.4g}"
    )
    if form.precision == "int8":
        print(int8_share(proto))


if __name__ == "__main__":
    sys.exit(main())
