"""Runtimes as a parity check asks them: probability, map and, where a graph shows it, margin.

The margin, logit fake − logit real, is what goes into the last sigmoid: a sure probability is 1 in
float32 whatever the logits were, so a comparison of probabilities alone says little of them.
"""

from __future__ import annotations

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from deploy.backends import Backend, open_backend
from export.graph.onnx_graph import Additions, Graph, load_model
from export.parity.agreement import Answers
from export.parity.reference_runtime import ReferenceRuntime
from keras_ddl.edge.bundle import MODEL_FILE

if TYPE_CHECKING:
    import onnx

MARGIN, PROBABILITY = "margin", "fake_probability"
PASSES = ("Cast", "Identity", "Reshape", "Squeeze", "Flatten")
_FLOAT = 1  # of onnx.TensorProto


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
