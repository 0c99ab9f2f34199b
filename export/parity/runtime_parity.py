"""Two runtimes on the same clips: how far their answers lie apart. Needs no TensorFlow."""

from __future__ import annotations

import numpy as np

from deploy.backends import Backend
from export.graph.margin import MARGIN
from export.parity.agreement import Agreement, Answers, Tolerance, agreement, require

ADVICE = (
    "nothing was replaced. Try --fp32, more or truer calibration clips, or another --ranges; "
    "--tolerance sets the bound of the probability"
)


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
        joined["fake_probability"].astype(np.float64),
        joined[MARGIN].astype(np.float64) if MARGIN in joined else None,
        joined.get("inconsistency_map"),
        backend.name,
    )


def compare_runtimes(
    reference: Backend,
    candidate: Backend,
    clips: np.ndarray,
    threshold: float = 0.5,
    batch: int = 1,
    labels: np.ndarray | None = None,
) -> Agreement:
    """Feed the same clips to both.

    Args:
        reference: ONNX Runtime with the bundle's own graph.
        candidate: What would ship.
        clips: uint8 ``(N, T, S, S, 3)``, N at least 1.
        threshold: Probability at and above which a clip is fake.
        batch: How many at a time.
        labels: ``(N,)``, 1 = fake, for the AUC; None where they are not known.
    """
    first, second = (ask(backend, clips, batch) for backend in (reference, candidate))
    return agreement(first, second, threshold, labels)


def require_parity(found: Agreement, tolerance: Tolerance, what: str) -> None:
    """Raise a UserError (exit code 4) unless everything lies within the tolerance."""
    require(found, tolerance, what, ADVICE)
