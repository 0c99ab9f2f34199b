"""Export a run to ONNX: `python export/to_onnx.py [RUN]` writes RUN/bundle/.

`--precision fp16` writes RUN/bundle-fp16/, with float32 where float16 would overflow or round too
much; `--precision int8` writes RUN/bundle-int8/ from the network that `keras_ddl.quantize` made.

The graph takes raw uint8 clips and returns `fake_probability` and, for networks with DFDC,
`inconsistency_map`. It becomes final only after ONNX Runtime has given Keras' answer on the same
clips. Exit codes are in docs/exit-codes.md.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from keras_ddl.errors import MISSING, Parser, UserError, run_cli

if TYPE_CHECKING:
    import numpy as np
    import onnx

log = logging.getLogger(__name__)

# The highest that TensorRT 8.6 (JetPack 6.0) parses, and that is the oldest version supported; a
# newer one has nothing that this network needs. `trt_graph` raises it where float16 scales ask.
OPSET = 17
PARITY_CLIPS = 16
TOLERANCE = {"fp32": 1e-4, "fp16": 1e-2, "int8": 5e-2}  # of the fake probability, clip by clip


def onnx_from_keras(
    model: Any, inconsistency_map: bool = True, opset: int = OPSET, temperature: float = 1.0
) -> onnx.ModelProto:
    """Convert a clip model to ONNX.

    Args:
        model: A model of `build_model`: uint8 ``clip`` ``(B, T, S, S, 3)`` → ``logits`` ``(B, 2)``.
        inconsistency_map: Add the second output where the network has DFDC layers.
        opset: ONNX operator set.
        temperature: Divides the logits inside the graph: a probability that has left a float32
            sigmoid has lost what a later division would need.

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
    from export.fold_batch_norm import fold_batch_norm
    from export.graph_counts import GraphCounts
    from export.kept_positions import rewrite_kept_positions
    from export.marked_ranges import quantise_marked
    from export.steady_conversion import drop_number, steady_conversion
    from keras_ddl.framework import tf
    from keras_ddl.layers import DFDC
    from keras_ddl.layout import channels_first

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
    log.info("converted: %s; exported: %s", converted, GraphCounts.of(proto))
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
    from keras_ddl.model import with_inconsistency_map

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


def parity_clips(config_data: dict[str, Any], spec: Any) -> tuple[np.ndarray, str]:
    """Clips to compare on: the run's own validation clips where they are, else seeded noise.

    Returns:
        uint8 ``(N, T, S, S, 3)`` and a word on where they come from.
    """
    import numpy as np

    from keras_ddl.data.store import read_split

    prepared = config_data.get("prepared", "")
    if prepared and Path(prepared).is_dir():
        clips = read_split(Path(prepared), "val").clips
        chosen = np.linspace(0, len(clips) - 1, min(PARITY_CLIPS, len(clips))).astype(int)
        return np.ascontiguousarray(clips[chosen]), "validation clips"
    shape = (PARITY_CLIPS, spec.frames, spec.size, spec.size, 3)
    return np.random.default_rng(0).integers(
        0, 256, shape, np.uint8
    ), "noise clips (no prepared data)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = Parser(
        prog="python export/to_onnx.py",
        description="Export a run to ONNX and prove that it kept the answer.",
    )
    parser.add_argument("run", type=Path, nargs="?", help="run folder; default runs/latest")
    parser.add_argument("--precision", default="fp32", choices=sorted(TOLERANCE), help="fp32")
    parser.add_argument("--no-map", action="store_true", help="leave the inconsistency map out")
    arguments = parser.parse_args(argv)
    return run_cli(lambda: _export(arguments.run, arguments.precision, not arguments.no_map))


def _export(run: Path | None, precision: str, inconsistency_map: bool) -> int:
    from export.bundle import write_bundle
    from export.divergence import explained
    from export.parity import compare, require
    from keras_ddl.files import read_json
    from keras_ddl.runs import find_run

    folder = find_run(run)
    model, spec = _network(folder, precision)
    proto = onnx_from_keras(model, inconsistency_map, temperature=spec.temperature)
    clips, origin = parity_clips(read_json(folder / "config.json")["data"], spec)
    single = proto
    if precision == "fp16":
        proto = _half(single, clips)

    def gate(candidate: Path) -> None:
        report = compare(model, candidate / "model.onnx", clips, spec.temperature, spec.threshold)
        print(f"parity on {len(clips)} {origin}: {report}")
        reference = single if precision == "fp16" else model
        with explained(lambda: _where(reference, proto, clips[report.worst], precision)):
            require(report, TOLERANCE[precision], exact=precision == "fp32")

    name = "bundle" if precision == "fp32" else f"bundle-{precision}"
    bundle = write_bundle(folder / name, proto, spec, gate)
    operators = Counter(node.op_type for node in proto.graph.node)
    print(
        f"{bundle / 'model.onnx'}: opset {proto.opset_import[0].version}, "
        f"{sum(operators.values())} nodes, threshold {spec.threshold:.4g}, "
        f"temperature {spec.temperature:.4g}"
    )
    if precision == "int8":
        from export.int8_share import int8_share

        print(int8_share(proto))
    if "calibration" not in spec.metrics:
        print(
            f"threshold and temperature are not chosen yet: python -m keras_ddl.evaluate {folder}, "
            "then export again"
        )
    return 0


def _network(folder: Path, precision: str) -> tuple[Any, Any]:
    """The run's float network or its int8 one, and the spec."""
    from keras_ddl.quantization.stored import load_quantised
    from keras_ddl.runs import load_run

    if precision == "int8":
        return load_quantised(folder)
    model, _, spec = load_run(folder)
    return model, spec


def _half(proto: onnx.ModelProto, clips: np.ndarray) -> onnx.ModelProto:
    """The graph in float16, with float32 where the clips' values or the operators ask for it."""
    from export.mixed_fp16 import float_tensors, mixed_fp16
    from export.tensor_ranges import collect_ranges

    ranges = collect_ranges(proto, clips, float_tensors(proto), "max")
    return mixed_fp16(proto, ranges)


def _where(reference: Any, proto: onnx.ModelProto, clip: np.ndarray, precision: str) -> object:
    """Where the graph comes apart from what it was made of: float16 from float32, else Keras."""
    from export.divergence import BOUNDS, find_divergence
    from export.keras_divergence import find_keras_divergence

    print("looking for the layer where the answers come apart")
    find: Any = find_divergence if precision == "fp16" else find_keras_divergence
    return find(reference, proto, clip, BOUNDS[precision])


if __name__ == "__main__":
    sys.exit(main())
