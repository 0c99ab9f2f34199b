"""ONNX export of a run: `python export/to_onnx.py [RUN]` writes RUN/bundle/.

`--precision fp16` writes RUN/bundle-fp16/, with float32 where float16 would overflow or round too
much; `--precision int8` writes RUN/bundle-int8/ from the network that `keras_ddl.quantize` made,
`--rest fp16` or `--cpu` with it RUN/bundle-int8-fp16/ and RUN/bundle-int8-cpu/.

The graph takes raw uint8 clips and returns `fake_probability` and a map under the name of its kind:
`forgery_map` of a localisation head, else `inconsistency_map` of DFDC, else `grad_cam` where means
and dense layers, with ReLU or not, are all that follows the last features. It becomes final only
after ONNX Runtime, with float16 that rounds where there is any, has given Keras' answer on the same
clips. Some of them stay in the bundle as proof clips. Exit codes are in docs/exit-codes.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.backends.proof_clips import MOST, ProofClips, write_proof
from export.bundle_writer import write_bundle
from export.conversion.onnx_from_keras import onnx_from_keras
from export.conversion.run_clips import balanced, run_clips
from export.graph.precision import PRECISIONS, RESTS, Form
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import Parser, run_cli

if TYPE_CHECKING:
    import onnx

    from export.parity.clips import ParityClips
    from export.parity.prove import Passed
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
    parser.add_argument(
        "--no-map", action="store_true", help="leave the map out: the network's own, else Grad-CAM"
    )
    parser.add_argument(
        "--no-proof", action="store_true", help="leave proof clips out: no face of the data travels"
    )
    arguments = parser.parse_args(argv)

    def body() -> int:
        form = Form(arguments.precision, arguments.rest, arguments.cpu)
        return _export(arguments.run, form, not arguments.no_map, not arguments.no_proof)

    return run_cli(body)


def _export(run: Path | None, form: Form, with_map: bool, with_proof: bool) -> int:
    from export.conversion.keras_parity import ask_keras, export_limits, exported_candidate
    from export.graph.precision import in_form
    from export.parity.prove import prove
    from keras_ddl.edge.files import read_json
    from keras_ddl.edge.runs import find_run

    folder = find_run(run)
    model, spec = _network(folder, form.precision)
    single = onnx_from_keras(model, with_map, temperature=spec.temperature, report=print)
    data = read_json(folder / "config.json")["data"]
    sample = run_clips(data, spec, "val")
    proto = in_form(single, form, sample.clips, lambda: run_clips(data, spec, "train").clips)

    def gate(written: Path) -> None:
        passed = prove(
            partial(ask_keras, model, temperature=spec.temperature),
            exported_candidate(written / MODEL_FILE, proto, single, model, form.precision),
            sample,
            export_limits(form.precision, spec.threshold),
            print,
        )
        if with_proof:
            _add_proof(written, sample, passed)

    bundle = write_bundle(folder / form.bundle, proto, spec, gate)
    _say(bundle, proto, form, spec)
    if "calibration" not in spec.metrics:
        print(
            f"threshold and temperature are not chosen yet: {typed('evaluate')} {folder}, "
            "then export again"
        )
    return 0


def _add_proof(bundle: Path, sample: ParityClips, passed: Passed) -> None:
    """Put some of the clips and both answers into the bundle; noise proves nothing."""
    if sample.labels is None:
        return
    chosen = balanced(sample.labels, MOST)
    proof = ProofClips(
        sample.clips[chosen],
        sample.labels[chosen],
        passed.reference.probability[chosen],
        passed.candidate.probability[chosen],
    )
    size, fakes = write_proof(bundle, proof), int(proof.labels.sum())
    print(
        f"proof clips: {len(chosen) - fakes} real and {fakes} fake of validation, "
        f"{size / 1e6:.1f} MB, with their faces (--no-proof leaves them out)"
    )


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
