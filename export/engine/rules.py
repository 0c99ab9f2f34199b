"""TensorRT's rules for a graph, checked without it: `python -m export.engine.rules MODEL.onnx`.

Needs neither TensorRT nor a GPU. Each rule names its source. That every rule is kept does not
prove that an engine can be built; a broken one says, in seconds and anywhere, why it can't.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.backends.library import LIBRARIES, capabilities_from
from export.engine.target import Target, target_for
from export.graph.mixed_fp16 import HALF_SCALES
from export.graph.onnx_graph import Graph, attribute, formals, load_model
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, Parser, UserError, run_cli

if TYPE_CHECKING:
    import onnx

MAX_K = 3840
MAX_RANK = 8
WEIGHT_AXES = {"Conv": 0, "ConvTranspose": 1, "Gemm": 0, "MatMul": 1}
UINT8, FLOAT, FLOAT16, DOUBLE, BFLOAT16 = 2, 1, 10, 11, 16  # of onnx.TensorProto

OPERATORS = "https://github.com/onnx/onnx-tensorrt docs/operators.md"
QUANTIZED = "TensorRT developer guide, Working with Quantized Types"
TOPK = "TensorRT operator reference, TopK"
TYPED = "TensorRT developer guide, Strongly Typed Networks"
SHAPES = "TensorRT developer guide, Working with Dynamic Shapes"
DIMS = "TensorRT API reference, Dims.MAX_DIMS"
TURING = "TensorRT-RTX 1.7, its builder's own refusal for compute capability 7.5"
Q_DQ = "ONNX operators QuantizeLinear and DequantizeLinear"


@dataclass(frozen=True)
class Finding:
    """A broken rule of a graph: which, where, what is wrong, and who says so."""

    rule: str
    node: str
    message: str
    source: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message} at '{self.node}' [{self.source}]"


def check(proto: onnx.ModelProto, target: Target) -> list[Finding]:
    """Every broken rule of a graph, in the order of the rules.

    Args:
        proto: The graph as it would be given to TensorRT.
        target: Version and typing.
    """
    graph = Graph(proto).infer()
    return [
        Finding(rule.__name__.strip("_").replace("_", " "), *found)
        for rule in RULES
        for found in rule(graph, target)
    ]


def require(proto: onnx.ModelProto, target: Target, name: str) -> None:
    """Raise a UserError (exit code 4) for the first broken rule, with the number of the others."""
    found = check(proto, target)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise UserError(
            f"{name} is not for {target.name}: {found[0]}{more}; "
            f"{typed('rules')} {name} {target.arguments} lists all",
            CHECK_FAILED,
        )


Found = Iterator[tuple[str, str, str]]  # node, message, source


def _opset(graph: Graph, target: Target) -> Found:
    highest = target.table.opset
    if not 9 <= graph.opset <= highest:
        message = f"expected an opset from 9 to {highest}, received {graph.opset}"
        yield "model", message, target.table.source


def _operator(graph: Graph, target: Target) -> Found:
    for node in graph.nodes:
        known = node.domain in ("", "ai.onnx") and node.op_type in target.table.operators
        if not known:
            name = ".".join(filter(None, (node.domain, node.op_type)))
            yield node.name, f"the parser does not read {name}", target.table.source


def _constant_input(graph: Graph, target: Target) -> Found:
    for node in graph.nodes:
        place = target.table.constant_inputs.get(node.op_type)
        if place is None or len(node.input) <= place or not node.input[place]:
            continue
        if graph.constant(node.input[place]) is None:
            message = f"input {place} of {node.op_type} must be a constant"
            yield node.name, message, target.table.source


def _uint8(graph: Graph, target: Target) -> Found:
    only = "uint8 is for inputs and outputs;"
    for node in graph.nodes:
        reads = any(graph.dtype(name) == UINT8 for name in node.input if name)
        if reads and node.op_type != "Cast":
            yield node.name, f"{only} {node.op_type} cannot read it", OPERATORS
        makes = [name for name in node.output if graph.dtype(name) == UINT8]
        if any(name not in graph.outputs for name in makes):
            yield node.name, f"{only} {node.op_type} makes it", OPERATORS


def _float64(graph: Graph, target: Target) -> Found:
    for node in graph.nodes:
        if any(graph.dtype(name) == DOUBLE for name in node.output):
            yield node.name, "float64 would be cut to float32", OPERATORS


def _zero_point(graph: Graph, target: Target) -> Found:
    for node in _q_dq(graph):
        name = node.input[2] if len(node.input) > 2 else ""
        zero = graph.constant(name)
        if not name:
            if node.op_type == "QuantizeLinear":  # ONNX's default is uint8
                yield node.name, "expected an int8 zero point of 0, found none (uint8)", QUANTIZED
        elif zero is None:
            yield node.name, "the zero point must be a constant", QUANTIZED
        elif zero.dtype != np.int8:
            yield node.name, f"expected int8, received {zero.dtype}", QUANTIZED
        elif np.any(zero):
            yield node.name, "expected zero points of 0 (symmetric)", QUANTIZED


def _scale(graph: Graph, target: Target) -> Found:
    for node in _q_dq(graph):
        scale = graph.constant(node.input[1])
        if scale is None:
            yield node.name, "the scale must be a constant", QUANTIZED
        elif not (np.all(np.isfinite(scale)) and np.all(scale > 0)):
            yield node.name, f"expected scales above 0, the least is {scale.min():g}", QUANTIZED


def _half_scale(graph: Graph, target: Target) -> Found:
    for node in _q_dq(graph):
        if graph.dtype(node.input[1]) in (FLOAT16, BFLOAT16) and graph.opset < HALF_SCALES:
            message = f"a 16-bit scale needs opset {HALF_SCALES}, received {graph.opset}"
            yield node.name, message, Q_DQ


def _axis(graph: Graph, target: Target) -> Found:
    for node in _q_dq(graph):
        scale = graph.constant(node.input[1])
        if scale is None or scale.size == 1:
            continue
        if not _is_weight(graph, node.input[0]):
            yield node.name, "activations have one scale per tensor", QUANTIZED
            continue
        axis = int(attribute(node, "axis", 1))
        for reader in graph.readers[node.output[0]]:
            expected = WEIGHT_AXES.get(reader.op_type)
            if expected is not None and axis != expected:
                message = f"scales of {reader.op_type}'s weights lie along axis {expected}"
                yield node.name, f"{message}, received axis {axis}", QUANTIZED


def _top_k(graph: Graph, target: Target) -> Found:
    for node in graph.nodes:
        if node.op_type == "TopK":
            k = graph.constant(node.input[1])
            if k is not None and int(k.reshape(-1)[0]) > MAX_K:
                yield node.name, f"expected K <= {MAX_K}, received {int(k.reshape(-1)[0])}", TOPK


def _dynamic_shape(graph: Graph, target: Target) -> Found:
    for value in graph.model.graph.input:
        if value.name not in graph.weights:
            open_sizes = [i for i, size in enumerate(graph.shape(value.name) or ()) if size is None]
            if open_sizes not in ([], [0]):
                message = f"only dimension 0, the batch, may be open, open are {open_sizes}"
                yield value.name, message, SHAPES


def _rank(graph: Graph, target: Target) -> Found:
    for node in graph.nodes:
        for name in node.output:
            shape = graph.shape(name)
            if shape is not None and len(shape) > MAX_RANK:
                yield node.name, f"at most {MAX_RANK} dimensions, received {len(shape)}", DIMS


def _types(graph: Graph, target: Target) -> Found:
    """Under strong typing nothing is converted silently: what ONNX calls T is one type."""
    if not target.strongly_typed:
        return
    from onnx import TensorProto, defs

    for node in graph.nodes:
        if not defs.has(node.op_type):
            continue
        found: dict[str, set[int]] = {}
        for formal, _, name in formals(graph, node):
            if "tensor(" not in formal.type_str and graph.dtype(name):
                found.setdefault(formal.type_str, set()).add(graph.dtype(name))
        for kinds in found.values():
            if len(kinds) > 1:
                names = sorted(TensorProto.DataType.Name(kind).lower() for kind in kinds)
                yield node.name, f"{node.op_type} mixes {' and '.join(names)}", TYPED


def _turing(graph: Graph, target: Target) -> Found:
    """What the builder of TensorRT-RTX does not compile for the oldest GPUs."""
    if (7, 5) not in target.compute_capabilities:
        return
    for node in graph.nodes:
        if not node.input or graph.dtype(node.input[0]) != FLOAT:
            continue
        if node.op_type in ("MatMul", "Gemm", "Einsum"):
            yield node.name, f"float32 {node.op_type} is not for compute capability 7.5", TURING
        elif (
            node.op_type in ("Conv", "ConvTranspose") and len(graph.shape(node.input[0]) or ()) == 5
        ):
            yield node.name, f"float32 3-D {node.op_type} is not for compute capability 7.5", TURING


def _q_dq(graph: Graph) -> Iterator[Any]:
    return (n for n in graph.nodes if n.op_type in ("QuantizeLinear", "DequantizeLinear"))


def _is_weight(graph: Graph, name: str) -> bool:
    if graph.kind(name) == "QuantizeLinear":
        name = graph.makers[name].input[0]
    return graph.constant(name) is not None


RULES = (
    _opset,
    _operator,
    _constant_input,
    _uint8,
    _float64,
    _zero_point,
    _scale,
    _half_scale,
    _axis,
    _top_k,
    _dynamic_shape,
    _rank,
    _types,
    _turing,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 4 where a rule is broken."""
    parser = Parser(
        prog="python -m export.engine.rules", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("model", type=Path, help="an ONNX file")
    parser.add_argument("--target", choices=LIBRARIES, default="trt", help="default: %(default)s")
    parser.add_argument("--compute-capability", metavar="LIST", help="of --target rtx")
    parser.add_argument("--tensorrt", help="version of TensorRT; default: the newest known")
    arguments = parser.parse_args(argv)

    def body() -> int:
        asked = arguments.compute_capability
        capabilities = capabilities_from(asked) if asked else ()
        target = target_for(arguments.tensorrt, LIBRARIES[arguments.target], capabilities)
        found = check(load_model(arguments.model), target)
        for finding in found:
            print(finding)
        typing = "strongly typed" if target.strongly_typed else "types chosen by TensorRT"
        print(f"{len(RULES)} rules for {target.name}, {typing}: {len(found)} broken")
        return CHECK_FAILED if found else 0

    return run_cli(body)


if __name__ == "__main__":
    sys.exit(main())
