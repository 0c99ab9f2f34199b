"""The margin of a graph: what goes into the last sigmoid, as an output of its own to compare.

A sure probability is 1 in float32 whatever the logits were, so a comparison of probabilities alone
says little of them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.backends import Backend, open_backend
from export.graph.onnx_graph import Graph, all_names, load_model, need_onnx, unused_name

if TYPE_CHECKING:
    import onnx

MARGIN, PROBABILITY = "margin", "fake_probability"
PASSES = ("Cast", "Identity", "Reshape", "Squeeze", "Flatten")
_FLOAT, _INT64 = 1, 7  # of onnx.TensorProto


def with_margin(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph and add an output `margin` float32 ``(batch,)``: logit fake − logit real.

    A graph whose `fake_probability` comes from no sigmoid is only copied.
    """
    from onnx import helper

    result: onnx.ModelProto = need_onnx().ModelProto()
    result.CopyFrom(proto)
    graph = Graph(proto)
    node = graph.makers.get(PROBABILITY)
    while node is not None and node.op_type in PASSES:
        node = graph.makers.get(node.input[0])
    if node is None or node.op_type != "Sigmoid":
        return result
    taken = all_names(proto)
    name = unused_name(taken, MARGIN)
    flat, shape = (unused_name(taken, f"{name}/{part}") for part in ("flat", "shape"))
    result.graph.initializer.append(helper.make_tensor(shape, _INT64, [1], [-1]))
    result.graph.node.append(helper.make_node("Reshape", [node.input[0], shape], [flat], flat))
    result.graph.node.append(helper.make_node("Cast", [flat], [name], name, to=_FLOAT))
    result.graph.output.append(helper.make_tensor_value_info(name, _FLOAT, ["batch"]))
    return result


@contextmanager
def open_with_margin(path: Path) -> Iterator[Backend]:
    """Open an ONNX file in ONNX Runtime with its margin as one more output.

    Raises:
        UserError: as `load_model` and `open_backend` raise it.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "model.onnx"
        copy.write_bytes(with_margin(load_model(path)).SerializeToString())
        with open_backend(copy) as backend:
            yield backend
