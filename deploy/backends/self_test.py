"""Self-test of a backend: its answers to the bundle's proof clips against those that are right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.backends.base import Backend
from deploy.backends.proof_clips import ProofClips, read_proof
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, UserError

# Rounding moves a clip near the threshold by some hundredths, in int8 seldom by more than a tenth
# (docs/quantization.md); another model, or a broken device, moves the surest clips by far more.
BOUND = 0.2
NEAR = 0.05  # of the threshold: a decision may change there


@dataclass(frozen=True)
class SelfTest:
    """Answers of a backend beside the right ones.

    Attributes:
        clips: How many were judged.
        mean, largest: Mean and largest |Δp| against ONNX Runtime when the bundle was exported.
        keras: Largest |Δp| against Keras.
        changed: Decisions that differ, though the right answer is not near the threshold.
        worst: What was wrong with the worst clip, in words.
    """

    clips: int
    mean: float
    largest: float
    keras: float
    changed: int
    worst: str

    @property
    def passes(self) -> bool:
        """Whether these are the exported model's answers, but for rounding."""
        return self.largest <= BOUND and not self.changed

    def __str__(self) -> str:
        return (
            f"{self.clips} clips: |Δp| mean {self.mean:.1e}, max {self.largest:.1e}, against Keras "
            f"max {self.keras:.1e}; {self.changed} decisions changed"
        )


def self_test(backend: Backend, proof: ProofClips, threshold: float) -> SelfTest:
    """Let a backend judge proof clips, one call for each."""
    found = np.array([_judge(backend, clip) for clip in proof.clips])
    apart = np.abs(found - proof.onnx)
    flips = (found >= threshold) != (proof.onnx >= threshold)
    near = np.abs(proof.onnx - threshold) <= NEAR
    worst = int(np.nan_to_num(apart, nan=np.inf).argmax())
    return SelfTest(
        clips=len(found),
        mean=float(apart.mean()),
        largest=float(apart.max()),
        keras=float(np.abs(found - proof.keras).max()),
        changed=int(np.sum(flips & ~near)),
        worst=f"expected {proof.onnx[worst]:.3f}, received {found[worst]:.3f}",
    )


def _judge(backend: Backend, clip: np.ndarray) -> float:
    size = backend.inputs[0].shape[0] or backend.smallest_batch
    answer = backend.infer({"clip": np.repeat(clip[None], size, axis=0)})
    return float(answer["fake_probability"].ravel()[0])


def require_own_answers(backend: Backend, bundle: Path, spec: ClipSpec) -> None:
    """Refuse a backend that answers the surest proof clips otherwise than the exported model.

    Args:
        backend: Of the bundle's graph, or of an engine built of it.
        bundle: Its folder; without proof clips nothing is asked.
        spec: Its contract.

    Raises:
        UserError: it does, or the proof clips cannot be read (4).
    """
    proof = read_proof(bundle, spec)
    if proof is None:
        return
    found = self_test(backend, proof.some(proof.surest()), spec.threshold)
    if not found.passes:
        raise UserError(
            f"{backend.name} does not answer as the exported model: {found.worst} for a proof clip "
            f"of '{bundle}'; nothing is judged with it: run {typed('doctor')} --check "
            f"{bundle}",
            CHECK_FAILED,
        )
