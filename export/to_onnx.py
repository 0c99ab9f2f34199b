"""Export a run to ONNX: `python export/to_onnx.py [RUN]` writes RUN/bundle/.

`--precision fp16` writes RUN/bundle-fp16/, with float32 where float16 would overflow or round too
much; `--precision int8` writes RUN/bundle-int8/ from the network that `keras_ddl.quantize` made,
`--rest fp16` or `--cpu` with it RUN/bundle-int8-fp16/ and RUN/bundle-int8-cpu/.

The graph takes raw uint8 clips and returns `fake_probability` and, for networks with DFDC,
`inconsistency_map`. It becomes final only after ONNX Runtime, and for float16 ONNX's own evaluator,
have given Keras' answer on the same clips. Exit codes are in docs/exit-codes.md.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import numpy as np

from export.graph.precision import PRECISIONS, RESTS, Form
from keras_ddl.edge.errors import MISSING, Parser, UserError, run_cli

if TYPE_CHECKING:
    import onnx

    from export.conversion.parity_clips import ParityClips
    from keras_ddl.edge.clipspec import ClipSpec

log = logging.getLogger(__name__)

# The highest that TensorRT 8.6 (JetPack 6.0) parses, and that is the oldest version supported; a
# newer one has nothing that this network needs. `trt_graph` raises it where float16 scales ask.
OPSET = 17


def onnx_from_keras(
    model: Any,
    inconsistency_map: bool = True,
    opset: int = OPSET,
    temperature: float = 1.0,
    report: Callable[[str], None] = log.info,
) -> onnx.ModelProto:
    """Convert a clip model to ONNX.

    Args:
        model: A model of `build_model`: uint8 ``clip`` ``(B, T, S, S, 3)`` → ``logits`` ``(B, 2)``.
        inconsistency_map: Add the second output where the network has DFDC layers.
        opset: ONNX operator set.
        temperature: Divides the logits inside the graph: a probability that has left a float32
            sigmoid has lost what a later division would need.
        report: Told, in one line, the graph's counts before and after its clean-up.

    Returns:
        A checked graph with a dynamic batch: input ``clip`` uint8 ``(batch, T, S, S, 3)``; outputs
        ``fake_probability`` float32 ``(batch,)`` in [0, 1], calibrated, and, where asked for and
        possible, ``inconsistency_map`` float32 ``(batch, T, h, w)`` in [0, 1].

    Raises:
        UserError: tf2onnx or onnx is not installed.
        ValueError: the converter left an operator that is not ONNX, or an invalid graph.
    """
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise UserError(
            f"exporting needs tf2onnx and onnx ({error}); pip install 'keras-ddl[train,onnx]'",
            MISSING,
        ) from error
    from export.conversion.steady_conversion import drop_number, steady_conversion
    from export.graph.fold_batch_norm import fold_batch_norm
    from export.graph.graph_counts import GraphCounts
    from export.graph.kept_positions import rewrite_kept_positions
    from export.graph.marked_ranges import quantise_marked
    from keras_ddl.framework import tf
    from keras_ddl.layers import DFDC
    from keras_ddl.networks.channels_first import channels_first

    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    twin = channels_first(model) or model
    served, names = _served(twin, inconsistency_map, temperature)
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="clip")]
    function = tf.function(served, input_signature=signature)
    with steady_conversion():
        proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=opset)
    drop_number(proto)
    converted = GraphCounts.of(proto)
    _name_interface(proto, names)
    quantise_marked(proto)
    rewrite_kept_positions(proto, [layer for layer in twin.layers if isinstance(layer, DFDC)])
    fold_batch_norm(proto)
    report(f"converted: {converted}; cleaned up: {GraphCounts.of(proto)}")
    foreign = Counter(
        node.op_type for node in proto.graph.node if node.domain not in ("", "ai.onnx")
    )
    if foreign:
        raise ValueError(f"tf2onnx left operators that are not ONNX: {dict(foreign)}")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _served(model: Any, inconsistency_map: bool, temperature: float) -> tuple[Any, list[str]]:
    """The function that the graph computes, and the names of its outputs."""
    from keras_ddl.framework import tf
    from keras_ddl.layers import DFDC
    from keras_ddl.networks.model import with_inconsistency_map

    names = ["fake_probability"]
    if inconsistency_map and any(isinstance(layer, DFDC) for layer in model.layers):
        model = with_inconsistency_map(model)
        names.append("inconsistency_map")

    def served(clip: Any) -> tuple[Any, ...]:
        logits, *maps = tf.nest.flatten(model(clip, training=False))
        margin = logits[:, 1] - logits[:, 0]
        scaled = margin if temperature == 1 else margin * (1 / temperature)
        fake = tf.sigmoid(scaled)  # softmax of two classes
        return (fake, *maps)

    return served, names


def _name_interface(proto: onnx.ModelProto, names: Sequence[str]) -> None:
    """Give inputs and outputs their contractual names and the batch a symbolic size."""
    renamed = {value.name: name for value, name in zip(proto.graph.output, names, strict=True)}
    renamed[proto.graph.input[0].name] = "clip"
    for node in proto.graph.node:
        for edges in (node.input, node.output):
            edges[:] = [renamed.get(edge, edge) for edge in edges]
    for value in (*proto.graph.input, *proto.graph.output):
        value.name = renamed.get(value.name, value.name)
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


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
    from export.bundle_writer import write_bundle
    from export.conversion.parity_clips import parity_clips
    from export.engine.operators import first_reader
    from export.graph.graph_counts import GraphCounts
    from export.graph.precision import in_form
    from keras_ddl.edge.files import read_json
    from keras_ddl.runs import find_run

    folder = find_run(run)
    model, spec = _network(folder, form.precision)
    single = onnx_from_keras(model, inconsistency_map, temperature=spec.temperature, report=print)
    data = read_json(folder / "config.json")["data"]
    sample = parity_clips(data, spec)
    proto = in_form(single, form, sample.clips, lambda: parity_clips(data, spec, "train").clips)
    gate = _gate(model, single, proto, form, spec, sample)
    bundle = write_bundle(folder / form.bundle, proto, spec, gate)
    opset = proto.opset_import[0].version
    reader = "ONNX Runtime" if form.cpu else f"TensorRT {first_reader(opset)} or newer"
    print(
        f"{bundle / 'model.onnx'}: {GraphCounts.of(proto)}, opset {opset} for {reader}, "
        f"threshold {spec.threshold:.4g}, temperature {spec.temperature:.4g}"
    )
    if form.precision == "int8":
        from export.graph.int8_share import int8_share

        print(int8_share(proto))
    if "calibration" not in spec.metrics:
        print(
            f"threshold and temperature are not chosen yet: python -m keras_ddl.evaluate {folder}, "
            "then export again"
        )
    return 0


def _gate(
    model: Any,
    single: onnx.ModelProto,
    proto: onnx.ModelProto,
    form: Form,
    spec: ClipSpec,
    sample: ParityClips,
) -> Callable[[Path], None]:
    """What a candidate folder has to pass: Keras' answers, and where float16 is, truly in it.

    Args:
        model: The Keras network.
        single: Its graph before it was brought into its form.
        proto: The graph that ships.
        form: Its form.
        spec: The contract.
        sample: What to compare on.
    """
    from export.conversion.keras_parity import compare, compare_float16
    from export.parity.agreement import EXPORTED, Agreement, require
    from export.parity.divergence import explained

    def check(found: Agreement, clips: np.ndarray, truly: bool = False) -> None:
        worst = clips[found.worst]
        with explained(lambda: _where(model, single, proto, worst, form.precision, truly)):
            tolerance = EXPORTED[form.precision]
            require(found, tolerance, "the exported graph", "nothing was written")

    def gate(candidate: Path) -> None:
        ask = spec.temperature, spec.threshold
        found = compare(model, candidate / "model.onnx", sample.clips, *ask, sample.labels)
        print(f"parity on {len(sample.clips)} {sample.origin}: {found}")
        check(found, sample.clips)
        if form.half:
            few, labels = sample.few(found.worst)
            half = compare_float16(model, proto, few, *ask, labels)
            half = half.among(found)
            print(f"parity truly in float16, slow, so on {len(few)} of them, worst first: {half}")
            check(half, few, truly=True)

    return gate


def _network(folder: Path, precision: str) -> tuple[Any, Any]:
    """The run's float network or its int8 one, and the spec."""
    from keras_ddl.build_network import load_run
    from keras_ddl.quantization.stored import load_quantised

    if precision == "int8":
        return load_quantised(folder)
    model, _, spec = load_run(folder)
    return model, spec


def _where(
    model: Any,
    single: onnx.ModelProto,
    proto: onnx.ModelProto,
    clip: np.ndarray,
    precision: str,
    truly: bool,
) -> object:
    """Where a graph comes apart from what it was made of: another graph, or the Keras network."""
    from export.conversion.keras_divergence import find_keras_divergence
    from export.parity.divergence import BOUNDS, fetch, find_divergence
    from export.parity.reference_runtime import fetch_truly

    print("looking for the layer where the answers come apart")
    if proto is single:
        return find_keras_divergence(model, proto, clip, BOUNDS[precision])
    return find_divergence(single, proto, clip, BOUNDS[precision], fetch_truly if truly else fetch)


if __name__ == "__main__":
    sys.exit(main())
