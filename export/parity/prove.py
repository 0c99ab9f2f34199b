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

# Grey levels, in half of the pixels: where the level of a tolerance changes nothing, because the
# reference rounds its input, the next is taken.
NOISE = (1, 2, 4)

Ask = Callable[[np.ndarray], Answers]  # of clips uint8 (N, T, S, S, 3)


@dataclass(frozen=True)
class Candidate:
    """A graph or engine that would ship.

    Attributes:
        name: In words, as a refusal begins.
        ask: Its answers, as it would run.
        ask_float16: Its answers with float16 that is float16. None where there is no float16 in it.
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
        threshold: Probability at and above which a clip is fake.
        advice: What to do after a refusal; the end of its line.
    """

    tolerance: Tolerance
    threshold: float
    advice: str


@dataclass(frozen=True)
class Passed:
    """Answers and measurements of a candidate that passed.

    Attributes:
        agreement: As it would run.
        float16: With float16 that is float16; None where there is none.
        own: What the least noise changes in the reference's answers, where the bounds were
            raised to that.
        reference: What the reference answered.
        candidate: What the candidate answered, as it would run.
    """

    agreement: Agreement
    float16: Agreement | None
    own: Agreement | None
    reference: Answers
    candidate: Answers


def prove(
    reference: Ask,
    candidate: Candidate,
    clips: ParityClips,
    limits: Limits,
    report: Callable[[str], None] = lambda line: None,
) -> Passed:
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
    right = reference(clips.clips)
    asked: list[Agreement] = []

    def own() -> Agreement:
        for level in () if asked else (n for n in NOISE if n >= limits.tolerance.level):
            half = np.random.default_rng(0).integers(0, 2, clips.clips.shape, np.uint8)
            found = measure(reference(clips.clips ^ level * half))
            if found.logit or found.inconsistency or level == NOISE[-1]:
                asked.append(found)
                report(f"noise of {level} of 255 changes the reference's own answers: {found}")
                break
        return asked[0]

    def measure(answers: Answers) -> Agreement:
        near = limits.tolerance.near
        return agreement(right, answers, limits.threshold, clips.labels, near)

    def judged(answers: Answers, in_float16: bool) -> Agreement:
        found, tolerance = measure(answers), limits.tolerance
        how = " truly in float16" if in_float16 else ""
        report(f"parity{how} on {found.clips} {clips.origin}: {found}")
        if broken(found, tolerance) and tolerance.knows_noise:
            tolerance = tolerance.raised(own())
        if beyond := broken(found, tolerance):
            raise _refused(candidate, beyond, found, limits.advice, clips.clips, in_float16)
        return found

    answers = candidate.ask(clips.clips)
    found, half = judged(answers, in_float16=False), None
    if candidate.ask_float16 is not None:
        half = judged(candidate.ask_float16(clips.clips), in_float16=True)
    return Passed(found, half, asked[0] if asked else None, right, answers)


def _refused(
    candidate: Candidate,
    beyond: list[str],
    found: Agreement,
    advice: str,
    clips: np.ndarray,
    in_float16: bool,
) -> UserError:
    message = (
        f"{candidate.name}{', in float16,' if in_float16 else ''} does not keep the answer: "
        f"expected {', '.join(beyond)}, received {found}; {advice}"
    )
    if candidate.explain is not None:
        message += f"; {candidate.explain(clips[found.worst], in_float16)}"
    return UserError(message, CHECK_FAILED)
