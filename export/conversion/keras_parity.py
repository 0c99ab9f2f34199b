"""Parity: the same clips through Keras and through what ships, and how far they lie apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.backends import open_backend
from export.graph.margin import open_with_margin, with_margin
from export.parity.agreement import Agreement, Answers, agreement
from export.parity.runtime_parity import ask

if TYPE_CHECKING:
    import onnx


def ask_keras(
    model: Any, clips: np.ndarray, temperature: float = 1.0, maps: bool = True
) -> Answers:
    """Let a Keras network judge clips, one at a time.

    Args:
        model: Keras model, ``clip`` → ``logits`` ``(B, 2)``.
        clips: uint8 ``(N, T, S, S, 3)``.
        temperature: What the exported graph divides the logits by.
        maps: Compute the inconsistency map too.
    """
    from keras_ddl.networks.model import with_inconsistency_map

    network = with_inconsistency_map(model) if maps else model
    margins, found = [], []
    for clip in clips:
        outputs = network(clip[None], training=False)
        logits = np.asarray(outputs[0] if maps else outputs, np.float64)
        margins.append((logits[0, 1] - logits[0, 0]) / temperature)
        found.append(np.asarray(outputs[1][0]) if maps else None)
    margin = np.array(margins)
    probability = 0.5 * (1 + np.tanh(margin / 2))
    return Answers(probability, margin, np.array(found) if maps else None, "keras")


def compare(
    model: Any,
    onnx_file: Path,
    clips: np.ndarray,
    temperature: float = 1.0,
    threshold: float = 0.5,
    labels: np.ndarray | None = None,
) -> Agreement:
    """Feed the same clips to a Keras model and to an exported file, one at a time.

    Args:
        model: Keras model, ``clip`` → ``logits``.
        onnx_file: What `deploy` would run, through the very backend it runs it with. The logits
            are those of a copy that shows them.
        clips: uint8 ``(N, T, S, S, 3)``.
        temperature: What the exported graph divides the logits by.
        threshold: Probability at and above which a clip is fake.
        labels: ``(N,)``, 1 = fake, for the AUC; None where they are not known.
    """
    with open_backend(onnx_file) as backend:
        ships = ask(backend, clips)
    with open_with_margin(onnx_file) as backend:
        margin = ask(backend, clips).margin
    reference = ask_keras(model, clips, temperature, ships.map is not None)
    found = Answers(ships.probability, margin, ships.map, ships.runtime)
    return agreement(reference, found, threshold, labels)


def compare_float16(
    model: Any,
    proto: onnx.ModelProto,
    clips: np.ndarray,
    temperature: float = 1.0,
    threshold: float = 0.5,
    labels: np.ndarray | None = None,
) -> Agreement:
    """As `compare`, in ONNX's own evaluator: float16 is float16 there and may overflow.

    Args:
        model: Keras model, ``clip`` → ``logits``.
        proto: The exported graph.
        clips: uint8 ``(N, T, S, S, 3)``; a clip of the full-size network takes half a minute.
        temperature, threshold, labels: As there.
    """
    from export.parity.reference_runtime import ReferenceRuntime

    found = ask(ReferenceRuntime(with_margin(proto)), clips)
    reference = ask_keras(model, clips, temperature, found.map is not None)
    return agreement(reference, found, threshold, labels)
