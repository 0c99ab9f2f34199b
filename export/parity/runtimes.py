"""Runtimes as a parity check asks them: probability and map, from a graph margin and choices too.

The margin, logit fake − logit real, is what goes into the last sigmoid: a sure probability is 1 in
float32 whatever the logits were, so a comparison of probabilities alone says little of them. The
choices are the places that DFDC keeps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.backends import Backend, open_backend
from export.graph.onnx_graph import Additions, Graph, load_model
from export.graph.rounded_float16 import rounded_float16
from export.graph.tensor_ranges import open_exactly
from export.parity.agreement import Answers
from keras_ddl.edge.bundle import MODEL_FILE
from keras_ddl.edge.faces.map_kind import kind_among

if TYPE_CHECKING:
    import onnx

MARGIN, PROBABILITY, KEPT = "margin", "fake_probability", "kept/"
PASSES = ("Cast", "Identity", "Reshape", "Squeeze", "Flatten")
_FLOAT, _INT64 = 1, 7  # of onnx.TensorProto


def ask(backend: Backend, clips: np.ndarray, batch: int = 1) -> Answers:
    """Let a runtime judge clips.

    Args:
        backend: Of a bundle's interface; with an output `margin`, the logits are known too.
        clips: uint8 ``(N, T, S, S, 3)``, N at least 1.
        batch: How many at a time; the last batch is filled up by starting again.
    """
    rows = []
    for start in range(0, len(clips), batch):
        chosen = np.arange(start, start + batch) % len(clips)
        rows.append(backend.infer({"clip": np.ascontiguousarray(clips[chosen])}))
    return _answers(rows, len(clips), backend.name)


def _answers(rows: Sequence[Mapping[str, np.ndarray]], count: int, runtime: str) -> Answers:
    """Join the outputs of batch after batch, of which the last may hold too many."""
    joined = {name: np.concatenate([row[name] for row in rows])[:count] for name in rows[0]}
    kind = kind_among(joined)
    kept = sorted(name for name in joined if name.startswith(KEPT))
    return Answers(
        joined[PROBABILITY].astype(np.float64),
        joined[MARGIN].astype(np.float64) if MARGIN in joined else None,
        None if kind is None else joined[kind.output],
        runtime,
        tuple(joined[name].reshape(count, -1, joined[name].shape[-1]) for name in kept),
    )


def ask_file(path: Path, clips: np.ndarray) -> Answers:
    """Let a model file judge clips ``(N, T, S, S, 3)`` as a device would run it.

    Raises:
        UserError: as `open_backend` raises it.
    """
    with open_backend(path) as backend:
        return ask(backend, clips)


def ask_in_full(path: Path, clips: np.ndarray) -> Answers:
    """Let a copy of an ONNX file that shows margin and choices judge clips ``(N, T, S, S, 3)``.

    Raises:
        UserError: as `load_model` and `open_backend` raise it.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / MODEL_FILE
        copy.write_bytes(with_choices(with_margin(load_model(path))).SerializeToString())
        return ask_file(copy, clips)


def ask_float16(proto: onnx.ModelProto, clips: np.ndarray) -> Answers:
    """Let a graph judge clips ``(N, T, S, S, 3)`` with float16 that rounds and overflows.

    Raises:
        UserError: onnxruntime is not installed (3).
    """
    session = open_exactly(rounded_float16(with_choices(with_margin(proto))))
    names = [output.name for output in session.get_outputs()]
    entry = session.get_inputs()[0].name
    rows = [
        dict(zip(names, session.run(names, {entry: clip[None]}), strict=True)) for clip in clips
    ]
    return _answers(rows, len(clips), "ONNX Runtime, float16 rounded")


def with_choices(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph and add an output `kept/I` of every TopK: the places it chose, int64."""
    from onnx import helper

    result = deepcopy(proto)
    choices = [node for node in result.graph.node if node.op_type == "TopK"]
    for number, node in enumerate(choices):
        name = f"{KEPT}{number:03d}"
        result.graph.node.append(helper.make_node("Identity", [node.output[1]], [name], name))
        result.graph.output.append(helper.make_tensor_value_info(name, _INT64, None))
    return result


def with_margin(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Copy a graph and add an output `margin` float32 ``(batch,)``: logit fake − logit real.

    A graph whose `fake_probability` comes from no sigmoid is only copied.
    """
    from onnx import helper

    result, graph, tensor = deepcopy(proto), Graph(proto), PROBABILITY
    while graph.kind(tensor) in PASSES:
        tensor = graph.makers[tensor].input[0]
    if graph.kind(tensor) != "Sigmoid":
        return result
    add, logits = Additions(result), graph.makers[tensor].input[0]
    shape = add.constant(f"{MARGIN}/shape", np.array([-1]))
    flat = add.node("Reshape", [logits, shape], f"{MARGIN}/flat")
    name = add.node("Cast", [flat], MARGIN, to=_FLOAT)
    result.graph.output.append(helper.make_tensor_value_info(name, _FLOAT, ["batch"]))
    return result
