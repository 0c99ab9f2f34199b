"""Two runtimes on the same clips: how far their answers lie apart. Needs no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deploy.backends import Backend
from keras_ddl.errors import CHECK_FAILED, UserError

# Largest difference of the fake probability that a precision may make.
TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2, "int8": 5e-2}


@dataclass(frozen=True)
class RuntimeParity:
    """How far a candidate's answers lie from the reference's.

    Attributes:
        clips: Number of clips compared.
        probability: Largest absolute difference of the fake probability; nan where an answer is.
        mean: Mean absolute difference.
        flips: Clips whose decision at the threshold differs.
        map_mean: Mean absolute difference of the inconsistency map, None where there is none. The
            choice of kept positions is discrete, so single entries may differ by all of 1.
        runtime: What answered, in words.
        worst: Index of the clip with the largest difference.
    """

    clips: int
    probability: float
    mean: float
    flips: int
    map_mean: float | None
    runtime: str
    worst: int = 0

    def __str__(self) -> str:
        shown = "" if self.map_mean is None else f", map mean {self.map_mean:.1e}"
        return (
            f"max |Δp| {self.probability:.1e}, mean {self.mean:.1e}{shown}, {self.flips} flips of "
            f"{self.clips} ({self.runtime})"
        )


def compare_runtimes(
    reference: Backend,
    candidate: Backend,
    clips: np.ndarray,
    threshold: float = 0.5,
    batch: int = 1,
) -> RuntimeParity:
    """Feed the same clips to both.

    Args:
        reference: ONNX Runtime with the bundle's own graph.
        candidate: What would ship.
        clips: uint8 ``(N, T, S, S, 3)``, N at least 1.
        threshold: Probability at and above which a clip is fake.
        batch: How many at a time; the last batch is filled up by starting again.
    """
    wanted, found, maps = [], [], []
    for start in range(0, len(clips), batch):
        chosen = np.arange(start, start + batch) % len(clips)
        feed = {"clip": np.ascontiguousarray(clips[chosen])}
        expected, received = reference.infer(feed), candidate.infer(feed)
        wanted += expected["fake_probability"].tolist()
        found += received["fake_probability"].tolist()
        if "inconsistency_map" in expected:
            difference = expected["inconsistency_map"] - received["inconsistency_map"]
            maps.append(float(np.abs(difference).mean()))
    first, second = np.array(wanted[: len(clips)]), np.array(found[: len(clips)])
    return RuntimeParity(
        len(clips),
        float(np.abs(first - second).max()),
        float(np.abs(first - second).mean()),
        int(np.sum((first >= threshold) != (second >= threshold))),
        float(np.mean(maps)) if maps else None,
        candidate.name,
        int(np.abs(first - second).argmax()),
    )


def require_parity(parity: RuntimeParity, tolerance: float, what: str) -> None:
    """Raise a UserError (exit code 4) unless every probability lies within `tolerance`."""
    if not parity.probability <= tolerance:
        raise UserError(
            f"{what} does not keep the answer: expected at most {tolerance:g}, received {parity}; "
            "nothing was replaced. Try --fp32, more or truer calibration clips, or another "
            "--ranges; --tolerance sets the bound",
            CHECK_FAILED,
        )
