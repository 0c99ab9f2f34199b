"""Parity gate: a candidate's answers against a reference's on the same clips, within limits.

Every gate of an export is one call of `prove`: a graph against Keras, a prepared graph against the
bundle's, an engine against the bundle's. What is judged stands in `export.parity.agreement`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from export.parity.agreement import Agreement, Answers, Tolerance, agreement, broken
from export.parity.clips import ParityClips
from keras_ddl.edge.errors import CHECK_FAILED, UserError

Ask = Callable[[np.ndarray], Answers]  # of clips uint8 (N, T, S, S, 3)


@dataclass(frozen=True)
class Candidate:
    """A graph or engine that would ship.

    Attributes:
        name: In words, as a refusal begins.
        ask: Its answers, as it would run.
        ask_float16: Its answers with float16 that is float16: slow, so they are asked for the worst
            clips alone. None where there is no float16 in it.
        explain: Clip ``(T, S, S, 3)``, whether in float16 → where it comes apart from what it was
            made of, in words. Called only after a failure; None where nothing is known of that.
    """

    name: str
    ask: Ask
    ask_float16: Ask | None = None
    explain: Callable[[np.ndarray, bool], object] | None = None


@dataclass(frozen=True)
class Limits:
    """Limits of a parity check, and the advice for what is beyond them.

    Attributes:
        tolerance: How far its answers may lie from the reference's.
        float16: The same for answers with float16 that is float16.
        few: How many clips these are asked for.
        threshold: Probability at and above which a clip is fake.
        advice: What to do after a refusal; the end of its line.
    """

    tolerance: Tolerance
    float16: Tolerance
    few: int
    threshold: float
    advice: str


@dataclass(frozen=True)
class Proof:
    """Measurements of a candidate that passed.

    Attributes:
        agreement: On all clips.
        float16: On the worst of them, with float16 that is float16; None where there is none.
    """

    agreement: Agreement
    float16: Agreement | None


def prove(
    reference: Ask,
    candidate: Candidate,
    clips: ParityClips,
    limits: Limits,
    report: Callable[[str], None] = lambda line: None,
) -> Proof:
    """Compare a candidate with a reference on clips, and refuse one that answers otherwise.

    Args:
        reference: What is right.
        candidate: What would ship.
        clips: At least one.
        limits: How far apart they may lie.
        report: Told every measurement in one line, before it is judged.

    Raises:
        UserError: it is beyond its limits (exit code 4); the line says by how much and where.
    """

    def measure(ask: Ask, some: ParityClips) -> Agreement:
        return agreement(reference(some.clips), ask(some.clips), limits.threshold, some.labels)

    found = measure(candidate.ask, clips)
    report(f"parity on {found.clips} {clips.origin}: {found}")
    _judge(candidate, found, limits, clips.clips[found.worst], in_float16=False)
    if candidate.ask_float16 is None:
        return Proof(found, None)
    few = clips.few(found.worst, limits.few)
    half = measure(candidate.ask_float16, few).among(found)
    report(f"parity truly in float16, slow, so on {half.clips} of them, worst first: {half}")
    _judge(candidate, half, limits, few.clips[half.worst], in_float16=True)
    return Proof(found, half)


def _judge(
    candidate: Candidate, found: Agreement, limits: Limits, worst: np.ndarray, in_float16: bool
) -> None:
    beyond = broken(found, limits.float16 if in_float16 else limits.tolerance)
    if not beyond:
        return
    message = (
        f"{candidate.name}{', in float16,' if in_float16 else ''} does not keep the answer: "
        f"expected {', '.join(beyond)}, received {found}; {limits.advice}"
    )
    if candidate.explain is not None:
        message += f"; {candidate.explain(worst, in_float16)}"
    raise UserError(message, CHECK_FAILED)
