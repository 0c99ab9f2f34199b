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
    check = _Check(reference, candidate, clips, limits, report)
    answers = candidate.ask(clips.clips)
    found, half = check.judged(answers, in_float16=False), None
    if candidate.ask_float16 is not None:
        half = check.judged(candidate.ask_float16(clips.clips), in_float16=True)
    return Passed(found, half, check.own, check.right, answers)


class _Check:
    """What `prove` was given, and the reference's answers; arguments as there.

    Attributes:
        right: What the reference answers to the clips.
        own: What noise changes in its answers; None until somebody has to know.
    """

    def __init__(
        self,
        reference: Ask,
        candidate: Candidate,
        clips: ParityClips,
        limits: Limits,
        report: Callable[[str], None],
    ) -> None:
        self._reference, self._candidate, self._clips = reference, candidate, clips
        self._limits, self._report = limits, report
        self.right = reference(clips.clips)
        self.own: Agreement | None = None

    def judged(self, answers: Answers, in_float16: bool) -> Agreement:
        """Return how far answers lie from the reference's; raises where that is too far."""
        found, tolerance = self._measured(answers), self._limits.tolerance
        how = " truly in float16" if in_float16 else ""
        self._report(f"parity{how} on {found.clips} {self._clips.origin}: {found}")
        if broken(found, tolerance) and tolerance.knows_noise:
            self.own = self.own or self._under_noise()
            tolerance = tolerance.raised(self.own)
        if beyond := broken(found, tolerance):
            clips, advice = self._clips.clips, self._limits.advice
            raise _refused(self._candidate, beyond, found, advice, clips, in_float16)
        return found

    def _measured(self, answers: Answers) -> Agreement:
        labels, limits = self._clips.labels, self._limits
        return agreement(self.right, answers, limits.threshold, labels, limits.tolerance.near)

    def _under_noise(self) -> Agreement:
        """What the least noise changes that the reference sees."""
        clips = self._clips.clips
        half = np.random.default_rng(0).integers(0, 2, clips.shape, np.uint8)
        for level in (level for level in NOISE if level >= self._limits.tolerance.level):
            found = self._measured(self._reference(clips ^ level * half))
            if found.logit or found.inconsistency:
                break
        self._report(f"noise of {level} of 255 changes the reference's own answers: {found}")
        return found


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
