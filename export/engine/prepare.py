"""Graph preparation: a bundle's graph as one precision and one version of TensorRT want it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from export.engine.target import Target
from export.graph.float_islands import float_islands
from export.graph.fold_batch_norm import fold_batch_norm
from export.graph.insert_qdq import insert_qdq, quantisable
from export.graph.int8_share import int8_share
from export.graph.mixed_fp16 import (
    computes_in_float16,
    float_tensors,
    loud_nodes,
    mixed_fp16,
    raise_opset,
)
from export.graph.tensor_ranges import collect_ranges
from export.graph.uint8_input import cast_inputs_first
from keras_ddl.edge.errors import MISSING, USAGE, UserError

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class PreparedGraph:
    """A graph as it is given to TensorRT.

    Attributes:
        proto: The graph.
        float_nodes: Names of the nodes that must compute in float32: without strong typing the
            builder has to be told.
        notes: What was done, one line each.
    """

    proto: onnx.ModelProto
    float_nodes: tuple[str, ...]
    notes: tuple[str, ...]


def prepare(
    proto: onnx.ModelProto,
    precision: str,
    target: Target,
    clips: np.ndarray,
    calibrated: bool,
    method: str,
) -> PreparedGraph:
    """Prepare a graph.

    Args:
        proto: The bundle's graph, left as it is.
        precision: "fp32", "fp16" or "int8".
        target: Version, and whether the graph's own types are binding.
        clips: uint8 ``(N, T, S, S, 3)``, to measure ranges on.
        calibrated: Whether these are clips of faces, fit to choose int8 ranges from.
        method: How int8 ranges are chosen, of `tensor_ranges.METHODS`.

    Raises:
        UserError: int8 of a graph that is not quantised, without calibration clips (3); another
            precision of one that is (2).
    """
    result = deepcopy(proto)
    notes = [f"{cast_inputs_first(result)} uint8 inputs cast first"]
    quantised = any(node.op_type == "QuantizeLinear" for node in result.graph.node)
    if quantised and precision != "int8":
        raise UserError(f"this bundle is quantised, --{precision} has no sense: --int8", USAGE)
    if not quantised:
        notes.append(f"{fold_batch_norm(result)} batch norms folded")
    if precision == "int8" and not quantised and not calibrated:
        raise UserError(
            "int8 needs ranges, and neither is this bundle quantised nor were clips given: "
            "--calibration FILE.npz with an array 'clips', uint8 (N, T, S, S, 3)",
            MISSING,
        )
    half = precision != "fp32"
    if half and target.strongly_typed and precision == "int8":
        result = raise_opset(result)
    ranges = {}
    if half:
        ranges = collect_ranges(result, clips, float_tensors(result), "max")
    if precision == "int8" and not quantised:
        chosen = collect_ranges(result, clips, quantisable(result), method)
        result = insert_qdq(result, chosen)
        notes.append(f"Q/DQ inserted, ranges by {method} over {len(clips)} clips")
    islands = float_islands(result) | loud_nodes(result, ranges)
    names = tuple(n.name for n in result.graph.node if n.output[0] in islands and n.name)
    if precision == "int8":
        notes.append(str(int8_share(result)))
    if half and target.strongly_typed and not computes_in_float16(result):
        result = mixed_fp16(result, ranges)
        notes.append(f"float16 except {len(names)} nodes (scores, map, head, large values)")
    return PreparedGraph(result, names if half else (), tuple(notes))
