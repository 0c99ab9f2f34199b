"""Parity: the same clips through Keras and through what ships, and how far they lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.backends import open_backend
from keras_ddl.errors import CHECK_FAILED, UserError


@dataclass(frozen=True)
class Parity:
    """How far a runtime's answers lie from Keras'.

    Attributes:
        clips: Number of clips compared.
        probability: Largest absolute difference of the fake probability.
        mean: Mean absolute difference of the fake probability.
        inconsistency: Largest absolute difference of the map; None where there is no map.
        flips: Clips whose decision at the threshold differs.
        runtime: What answered, in words.
        worst: Index of the clip with the largest difference of the probability.
    """

    clips: int
    probability: float
    mean: float
    inconsistency: float | None
    flips: int
    runtime: str
    worst: int = 0

    def __str__(self) -> str:
        shown = "" if self.inconsistency is None else f", map {self.inconsistency:.1e}"
        return (
            f"max |Δp| {self.probability:.1e}, mean {self.mean:.1e}{shown}, "
            f"{self.flips} flips ({self.runtime})"
        )


def compare(
    model: Any,
    onnx_file: Path,
    clips: np.ndarray,
    temperature: float = 1.0,
    threshold: float = 0.5,
) -> Parity:
    """Feed the same clips to a Keras model and to an exported file, one at a time.

    Args:
        model: Keras model, ``clip`` → ``logits``.
        onnx_file: What `deploy` would run, through the very backend it runs it with.
        clips: uint8 ``(N, T, S, S, 3)``.
        temperature: What the exported graph divides the logits by.
        threshold: Probability at and above which a clip is fake.
    """
    from keras_ddl.model import with_inconsistency_map

    with open_backend(onnx_file) as backend:
        has_map = any(output.name == "inconsistency_map" for output in backend.outputs)
        reference = with_inconsistency_map(model) if has_map else model
        rows = []
        for clip in clips:
            outputs = reference(clip[None], training=False)
            logits, found = outputs if has_map else (outputs, None)
            answer = backend.infer({"clip": np.ascontiguousarray(clip[None])})
            margin = float(logits[0, 1] - logits[0, 0])
            expected = 0.5 * (1 + np.tanh(margin / (2 * temperature)))
            apart = float(np.abs(found - answer["inconsistency_map"]).max()) if has_map else 0.0
            rows.append((expected, float(answer["fake_probability"][0]), apart))
        runtime = backend.name
    expected, received, apart = np.array(rows).T
    difference = np.abs(expected - received)
    return Parity(
        len(clips),
        float(difference.max()),
        float(difference.mean()),
        float(apart.max()) if has_map else None,
        int(np.sum((expected >= threshold) != (received >= threshold))),
        runtime,
        int(difference.argmax()),
    )


def require(parity: Parity, tolerance: float, exact: bool = True) -> None:
    """Raise a UserError (exit code 4) unless every answer lies within `tolerance`.

    Args:
        parity: What was measured.
        tolerance: Of the fake probability.
        exact: The map must lie within it too. With rounded numbers it cannot: which positions DFDC
            keeps is a choice, and a small change may make another. No decision may flip then.
    """
    worst = max(parity.probability, (parity.inconsistency or 0.0) if exact else 0.0)
    if not worst <= tolerance or (parity.flips and not exact):
        raise UserError(
            f"the exported graph does not keep the answer: expected at most {tolerance:g}, "
            f"received {parity}; nothing was written",
            CHECK_FAILED,
        )
