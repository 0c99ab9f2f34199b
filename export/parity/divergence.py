"""Divergence of two graphs that should agree: the first layer apart, and the largest jump.

Tensors are matched by name. What only a candidate has, a Cast or a quantiser's result, stands for
the tensor that it was made from. DFDC's scores are left out: they make a choice, which the least
rounding may turn; what they do to the features is compared. Needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.float_islands import score_nodes
from export.graph.onnx_graph import Graph, with_outputs
from export.graph.rounded_float16 import rounded_float16
from export.graph.tensor_ranges import open_exactly, open_session

if TYPE_CHECKING:
    import onnx

# Of a tensor's largest value: what rounding alone is expected to stay below, layers together.
BOUNDS = {"fp32": 1e-3, "fp16": 2e-2, "int8": 0.2}
VARIANTS = ("Cast", "QuantizeLinear", "DequantizeLinear", "Identity")
AT_ONCE = 32  # tensors fetched in one run: memory, not speed, is what limits
_FLOATS = (1, 10)  # float32 and float16 of onnx.TensorProto


@dataclass(frozen=True)
class DivergentLayer:
    """A tensor of the candidate that lies apart.

    Attributes:
        layer: The network's layer, or the node where its name says of none.
        node: What makes the tensor.
        kind: Its operator.
        error: max |a − b| / max |a|, >= 0; infinite where b is not finite.
    """

    layer: str
    node: str
    kind: str
    error: float

    def __str__(self) -> str:
        return f"layer '{self.layer}' ({self.kind} '{self.node}', {self.error:.1e})"


@dataclass(frozen=True)
class Divergence:
    """Result of comparing two graphs, tensor by tensor.

    Attributes:
        compared: Number of tensors compared.
        bound: Relative error up to which tensors agree.
        first: The first in the graph's order beyond the bound; None where all agree.
        jump: The one whose error exceeds those of what it is computed from by most; None where
            nothing differs at all.
    """

    compared: int
    bound: float
    first: DivergentLayer | None
    jump: DivergentLayer | None

    def __str__(self) -> str:
        of = f"{self.compared} tensors compared"
        if self.first is None:
            found = f"no layer differs by more than {self.bound:g} of its largest value"
        else:
            found = f"first beyond {self.bound:g} of its largest value: {self.first}"
        return f"{found}; largest jump: {self.jump or 'none'}; {of}"


def find_divergence(
    reference: onnx.ModelProto,
    candidate: onnx.ModelProto,
    clip: np.ndarray,
    bound: float,
    in_float16: bool = False,
) -> Divergence:
    """Run two graphs on one clip and compare every float tensor that both have.

    Args:
        reference: The graph that is right.
        candidate: The same network rounded, or otherwise changed; its tensors keep their names.
        clip: What both take, without the batch; uint8 ``(T, S, S, 3)`` here.
        bound: Largest relative error that counts as agreement, >= 0.
        in_float16: Run the candidate where float16 is float16, as `fetch` has it.

    Raises:
        UserError: onnx or onnxruntime is not installed (3).
    """
    pairs = matching(reference, candidate)
    wanted = fetch(reference, list(pairs.values()), clip)
    found = fetch(candidate, list(pairs), clip, in_float16)
    errors = {
        name: relative_error(expected, value)
        for (_, expected), (name, value) in zip(wanted, found, strict=True)
    }
    return judge(Graph(candidate), errors, bound)


def matching(reference: onnx.ModelProto, candidate: onnx.ModelProto) -> dict[str, str]:
    """Computed float tensors of the candidate, in its order → those of the reference."""
    known, own = Graph(reference).infer(batch=1), Graph(candidate).infer(batch=1)
    pairs = {}
    scores = score_nodes(own)
    for node in (node for node in own.nodes if node.output[0] not in scores):
        for name in filter(None, node.output):
            origin = _origin(own, known, name)
            if own.dtype(name) in _FLOATS and known.dtype(origin) in _FLOATS:
                pairs[name] = origin
    return {name: origin for name, origin in pairs.items() if origin in known.makers}


def _origin(own: Graph, known: Graph, name: str) -> str:
    """The tensor itself where the reference makes it, else what it is a variant of."""
    while name not in known.makers and name in own.makers:
        if own.makers[name].op_type not in VARIANTS:
            break
        name = own.makers[name].input[0]
    return name


def fetch(
    proto: onnx.ModelProto, names: Sequence[str], clip: np.ndarray, in_float16: bool = False
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, value) of some tensors, whether or not the graph returns them.

    Args:
        proto: The graph.
        names: Of the tensors.
        clip: What it takes, without the batch.
        in_float16: Round float16 to float16; ONNX Runtime alone keeps it in float32.
    """
    feed = {proto.graph.input[0].name: np.ascontiguousarray(clip[None])}
    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        probe = with_outputs(proto, some)
        session = open_exactly(rounded_float16(probe)) if in_float16 else open_session(probe)
        yield from zip(some, session.run(some, feed), strict=True)


def relative_error(wanted: np.ndarray, found: np.ndarray) -> float:
    """max |a − b| / max |a|; infinite where the shapes differ or b is not finite."""
    if wanted.shape != found.shape or not np.all(np.isfinite(found)):
        return np.inf
    if wanted.size == 0:
        return 0.0
    apart = float(np.abs(wanted.astype(np.float64) - found.astype(np.float64)).max())
    top = float(np.abs(wanted).max())
    return apart / top if top else (np.inf if apart else 0.0)


def judge(graph: Graph, errors: Mapping[str, float], bound: float) -> Divergence:
    """Find the first tensor beyond the bound and the largest jump.

    Args:
        graph: Whose tensors they are.
        errors: Tensor → relative error. What was not compared passes on what it reads.
        bound: As `find_divergence` has it.
    """
    carried: dict[str, float] = {}
    first = jump = None
    largest = 0.0
    for node in graph.nodes:
        before = max((carried.get(name, 0.0) for name in node.input), default=0.0)
        for name in node.output:
            error = carried[name] = errors.get(name, before)
            if first is None and error > bound:
                first = _layer(graph, node, error)
            if error > before and error - before > largest:
                jump, largest = _layer(graph, node, error), error - before
    return Divergence(len(errors), bound, first, jump)


def _layer(graph: Graph, node: Any, error: float) -> DivergentLayer:
    source = node
    while source.op_type in VARIANTS and source.input[0] in graph.makers:
        source = graph.makers[source.input[0]]
    layer = layer_of(_name(source)) or _name(source)
    return DivergentLayer(layer, _name(node), node.op_type, error)


def layer_of(name: str) -> str:
    """The network's layer in a name of the converter, `model/layer/operation`; "" in others."""
    parts = name.split("/")
    return parts[1] if len(parts) > 2 else ""


def _name(node: Any) -> str:
    return str(node.name or node.output[0])
