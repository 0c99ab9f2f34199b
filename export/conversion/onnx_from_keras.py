"""Keras to ONNX: a clip model with its calibrated probability and, where it has one, its map."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from export.graph.onnx_graph import GraphCounts
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.faces.map_kind import GRAD_CAM, MapKind

if TYPE_CHECKING:
    import onnx

log = logging.getLogger(__name__)

# The highest that TensorRT 8.6 (JetPack 6.0) parses, and that is the oldest version supported; a
# newer one has nothing that this network needs. `raise_opset` raises it where float16 scales ask.
OPSET = 17
_NUMBERED = re.compile(r"^model_\d+/")  # the scope of the second model of a process


def onnx_from_keras(
    model: Any,
    with_map: bool = True,
    opset: int = OPSET,
    temperature: float = 1.0,
    report: Callable[[str], None] = log.info,
) -> onnx.ModelProto:
    """Convert a clip model to ONNX.

    Args:
        model: A model of `build_model`: uint8 ``clip`` ``(B, T, S, S, 3)`` → ``logits`` ``(B, 2)``.
        with_map: Add the second output where the network has a map of its own, or a head of which
            Grad-CAM needs no gradient (`networks.class_activation`).
        opset: ONNX operator set.
        temperature: Divides the logits inside the graph: a probability that has left a float32
            sigmoid has lost what a later division would need.
        report: Told, in one line, the graph's counts before and after its clean-up.

    Returns:
        A checked graph with a dynamic batch: input ``clip`` uint8 ``(batch, T, S, S, 3)``; outputs
        ``fake_probability`` float32 ``(batch,)`` in [0, 1], calibrated, and, where asked for and
        possible, a map float32 ``(batch, T, h, w)`` in [0, 1] under the name of its kind:
        ``inconsistency_map``, ``forgery_map`` or ``grad_cam``.

    Raises:
        UserError: tf2onnx or onnx is not installed, or the process has Keras 3.
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
    from export.graph.fold_batch_norm import fold_batch_norm
    from export.graph.fold_bias import fold_bias
    from export.graph.kept_positions import rewrite_kept_positions
    from export.graph.marked_ranges import quantise_marked
    from keras_ddl.framework import need_keras_2, tf
    from keras_ddl.layers import DFDC
    from keras_ddl.networks.channels_first import channels_first
    from keras_ddl.networks.class_activation import graph_map_kind

    need_keras_2("export")
    logging.getLogger("tf2onnx").setLevel(logging.WARNING)
    twin = channels_first(model) or model
    kind = graph_map_kind(model) if with_map else None
    served = _served(twin if kind is None else _with_map(twin, model, kind), temperature)
    names = ["fake_probability", *([] if kind is None else [kind.output])]
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="clip")]
    function = tf.function(served, input_signature=signature)
    with _steady_conversion():
        proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=opset)
    _drop_number(proto)
    converted = GraphCounts.of(proto)
    _name_interface(proto, names)
    quantise_marked(proto)
    rewrite_kept_positions(proto, [layer for layer in twin.layers if isinstance(layer, DFDC)])
    fold_batch_norm(proto)
    fold_bias(proto)
    report(f"converted: {converted}; cleaned up: {GraphCounts.of(proto)}")
    foreign = Counter(
        node.op_type for node in proto.graph.node if node.domain not in ("", "ai.onnx")
    )
    if foreign:
        raise ValueError(f"tf2onnx left operators that are not ONNX: {dict(foreign)}")
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _with_map(twin: Any, model: Any, kind: MapKind) -> Any:
    """A network's form for export with its map as a second output.

    Args:
        twin: The form.
        model: The network, in which a head is found.
        kind: What its map is.
    """
    from keras_ddl.networks.class_activation import known_head, with_class_activation
    from keras_ddl.networks.model import with_inconsistency_map

    if kind is not GRAD_CAM:
        return with_inconsistency_map(twin)
    return with_class_activation(twin, known_head(model))


def _served(model: Any, temperature: float) -> Any:
    """The function that the graph computes, of a network with or without a map."""
    from keras_ddl.framework import tf

    def served(clip: Any) -> tuple[Any, ...]:
        logits, *maps = tf.nest.flatten(model(clip, training=False))
        margin = logits[:, 1] - logits[:, 0]
        scaled = margin if temperature == 1 else margin * (1 / temperature)
        fake = tf.sigmoid(scaled)  # softmax of two classes
        return (fake, *maps)

    return served


def _name_interface(proto: onnx.ModelProto, names: Sequence[str]) -> None:
    """Give inputs and outputs their contractual names and the batch a symbolic size."""
    renamed = {value.name: name for value, name in zip(proto.graph.output, names, strict=True)}
    renamed[proto.graph.input[0].name] = "clip"
    _rename(proto, lambda name: renamed.get(name, name))
    for value in (*proto.graph.input, *proto.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


@contextmanager
def _steady_conversion() -> Iterator[None]:
    """Let tf2onnx 1.17 walk its sets of nodes by name, and count its names from 1.

    It walks them in an order that follows addresses in memory, so that of two equal nodes now one
    and now the other is kept. Not for several threads at once.
    """
    from tf2onnx import utils
    from tf2onnx.graph import Graph

    walks = ("extract_sub_graph_nodes", "find_output_consumers")
    before = {name: getattr(Graph, name) for name in walks}
    number, utils.INTERNAL_NAME = utils.INTERNAL_NAME, 1
    try:
        for name, walk in before.items():
            setattr(Graph, name, _by_name(walk))
        yield
    finally:
        for name, walk in before.items():
            setattr(Graph, name, walk)
        utils.INTERNAL_NAME = number


def _by_name(walk: Callable[..., Any]) -> Callable[..., list[Any]]:
    def walked(*arguments: Any, **options: Any) -> list[Any]:
        return sorted(walk(*arguments, **options), key=lambda node: str(node.name))

    return walked


def _drop_number(proto: onnx.ModelProto) -> None:
    """Call the scope of the whole network `model`, however many models the process has made."""
    for node in proto.graph.node:
        node.name = _NUMBERED.sub("model/", node.name)
    _rename(proto, lambda name: _NUMBERED.sub("model/", name))


def _rename(proto: onnx.ModelProto, new: Callable[[str], str]) -> None:
    """Give every tensor the name that `new` makes of its own."""
    graph = proto.graph
    for node in graph.node:
        for edges in (node.input, node.output):
            edges[:] = [new(edge) for edge in edges]
    for value in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
        value.name = new(value.name)
