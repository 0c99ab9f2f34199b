"""Runtimes as a parity check asks them: probability, map and, where a graph shows it, margin.

The margin, logit fake − logit real, is what goes into the last sigmoid: a sure probability is 1 in
float32 whatever the logits were, so a comparison of probabilities alone says little of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.backends import Backend, open_backend
from export.graph.onnx_graph import Graph, all_names, load_model, need_onnx, unused_name
from export.parity.agreement import Answers
from export.parity.reference_runtime import ReferenceRuntime
from keras_ddl.edge.bundle import MODEL_FILE

if TYPE_CHECKING:
    import onnx

MARGIN, PROBABILITY = "margin", "fake_probability"
PASSES = ("Cast", "Identity", "Reshape", "Squeeze", "Flatten")
_FLOAT, _INT64 = 1, 7  # of onnx.TensorProto


def ask(backend: Backend, clips: np.ndarray, batch: int = 1) -> Answers:
    """Let a runtime judge clips.

    Args:
        backend: Of a bundle's interface; with an output `margin`, the logits are known too.
        clips: uint8 ``(N, T, S, S, 3)``, N at least 1.
        batch: How many at a time; the last batch is filled up by starting again.
    """
    found: dict[str, list[np.ndarray]] = {}
    for start in range(0, len(clips), batch):
        chosen = np.arange(start, start + batch) % len(clips)
        for name, value in backend.infer({"clip": np.ascontiguousarray(clips[chosen])}).items():
            found.setdefault(name, []).append(value)
    joined = {name: np.concatenate(parts)[: len(clips)] for name, parts in found.items()}
    return Answers(
        joined[PROBABILITY].astype(np.float64),
        joined[MARGIN].astype(np.float64) if MARGIN in joined else None,
        joined.get("inconsistency_map"),
        backend.name,
    )


def ask_file(path: Path, clips: np.ndarray) -> Answers:
    """Let a model file judge clips ``(N, T, S, S, 3)`` as a device would run it.

    Raises:
        UserError: as `open_backend` raises it.
    """
    with open_backend(path) as backend:
        return ask(backend, clips)


def ask_with_margin(path: Path, clips: np.ndarray) -> Answers:
    """Let a copy of an ONNX file that shows its margin judge clips ``(N, T, S, S, 3)``.

    Raises:
        UserError: as `load_model` and `open_backend` raise it.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / MODEL_FILE
        copy.write_bytes(with_margin(load_model(path)).SerializeToString())
        return ask_file(copy, clips)


def ask_float16(proto: onnx.ModelProto, clips: np.ndarray) -> Answers:
    """Let ONNX's own evaluator judge clips ``(N, T, S, S, 3)``: float16 may overflow there.

    ONNX Runtime's CPU kernels hide an overflow. A clip of the full-size network takes half a
    minute.
    """
    return ask(ReferenceRuntime(with_margin(proto)), clips)


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
