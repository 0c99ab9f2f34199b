"""Parity with Keras: the network's own answers, and an exported graph as a candidate for them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from export.conversion.keras_divergence import find_keras_divergence
from export.graph.mixed_fp16 import computes_in_float16
from export.parity.agreement import EXPORTED, Answers
from export.parity.divergence import BOUNDS, find_divergence
from export.parity.prove import Candidate, Limits
from export.parity.runtimes import ask_file, ask_float16, ask_in_full
from keras_ddl.edge.faces.map_kind import GRAD_CAM

if TYPE_CHECKING:
    import onnx


def ask_keras(model: Any, clips: np.ndarray, temperature: float) -> Answers:
    """Let a Keras network judge clips, one at a time.

    Args:
        model: Keras model, ``clip`` → ``logits`` ``(B, 2)``; the map that its graph has is computed
            too, Grad-CAM by its gradient.
        clips: uint8 ``(N, T, S, S, 3)``.
        temperature: What the exported graph divides the logits by.
    """
    from keras_ddl.framework import tf
    from keras_ddl.networks.class_activation import graph_map_kind
    from keras_ddl.networks.grad_cam import GradCam
    from keras_ddl.networks.model import with_inconsistency_map

    kind = graph_map_kind(model)
    own = kind is not None and kind is not GRAD_CAM
    network = with_inconsistency_map(model) if own else model
    judge = tf.function(lambda clip: network(clip, training=False))
    cam = GradCam(model) if kind is GRAD_CAM else None
    margins, found = [], []
    for clip in clips:
        outputs = judge(tf.constant(clip[None]))
        logits = np.asarray(outputs[0] if own else outputs, np.float64)
        margins.append((logits[0, 1] - logits[0, 0]) / temperature)
        if kind is not None:
            found.append(cam(clip[None])[0] if cam else np.asarray(outputs[1][0]))
    margin = np.array(margins)
    probability = 0.5 * (1 + np.tanh(margin / 2))
    return Answers(probability, margin, np.array(found) if found else None, "keras")


def ask_exported(path: Path, clips: np.ndarray) -> Answers:
    """Let an exported file judge clips ``(N, T, S, S, 3)``, one at a time.

    Through the very backend that `deploy` runs it with; the logits are those of a copy that shows
    them.
    """
    return replace(ask_file(path, clips), margin=ask_in_full(path, clips).margin)


def exported_candidate(
    path: Path, proto: onnx.ModelProto, single: onnx.ModelProto, model: Any, precision: str
) -> Candidate:
    """Describe an exported graph for `prove`.

    Args:
        path: The file that would ship.
        proto: What is in it.
        single: The network's graph before it was brought into its form; `proto` itself for fp32.
        model: The Keras network.
        precision: "fp32", "fp16" or "int8".
    """

    def explain(clip: np.ndarray, in_float16: bool) -> object:
        print("looking for the layer where the answers come apart")
        if proto is single:
            return find_keras_divergence(model, proto, clip, BOUNDS[precision])
        return find_divergence(single, proto, clip, BOUNDS[precision], in_float16)

    half = partial(ask_float16, proto) if computes_in_float16(proto) else None
    return Candidate("the exported graph", partial(ask_exported, path), half, explain)


def export_limits(precision: str, threshold: float) -> Limits:
    """What an export of one precision has to keep of Keras' answers."""
    return Limits(EXPORTED[precision], threshold, "nothing was written")
