"""One gate: what it measures, what it refuses, and what it says then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from export.parity.agreement import EXPORTED, HALF_ON_NOISE, Answers, Tolerance
from export.parity.clips import ParityClips
from export.parity.prove import Candidate, Limits, prove
from keras_ddl.edge.errors import UserError

# A clip is a number here, and a runtime a margin for each.
CLIPS = ParityClips(np.arange(4, dtype=np.uint8), np.array([0, 0, 1, 1]), "clips")
BEFORE = [-3.0, -1.0, 1.0, 30.0]
LOOSE = Tolerance(0.05, 0.1, 0.05, flips=0.0)


def runtime(margins: list[float]) -> Any:
    def ask(clips: np.ndarray) -> Answers:
        margin = np.array(margins)[clips]
        return Answers(1 / (1 + np.exp(-margin)), margin, None, "some runtime")

    return ask


def limits(tolerance: Tolerance, float16: Tolerance | None = None, few: int = 2) -> Limits:
    return Limits(tolerance, float16 or tolerance, few, 0.5, "nothing was written")


def test_all_clips_are_measured_and_float16_on_the_worst_and_one_of_the_other_class():
    lines: list[str] = []
    half = runtime([-3.0, -1.0, 1.2, 30.0])
    candidate = Candidate("the graph", runtime([-3.0, -1.0, 1.1, 30.0]), half)
    proof = prove(runtime(BEFORE), candidate, CLIPS, limits(LOOSE), lines.append)
    assert (proof.agreement.clips, proof.agreement.worst) == (4, 2)
    assert proof.agreement.logit == pytest.approx(0.1) and proof.agreement.auc == 0
    assert proof.float16 is not None and proof.float16.clips == 2
    assert proof.float16.logit == pytest.approx(0.2)
    assert proof.float16.largest_logit == 30  # of all clips: 0.2 of 1 would be too much
    assert lines == [
        f"parity on 4 clips: {proof.agreement}",
        f"parity truly in float16, slow, so on 2 of them, worst first: {proof.float16}",
    ]
    alone = prove(runtime(BEFORE), candidate, CLIPS, limits(LOOSE, few=1))
    assert alone.float16 is not None and (alone.float16.clips, alone.float16.auc) == (1, None)


def test_a_graph_without_float16_is_asked_once():
    proof = prove(runtime(BEFORE), Candidate("g", runtime(BEFORE)), CLIPS, limits(EXPORTED["fp32"]))
    assert proof.float16 is None and proof.agreement.probability == 0


def test_a_refusal_is_one_line_with_numbers_and_advice_and_the_place():
    seen: list[tuple[int, bool]] = []

    def explain(clip: np.ndarray, in_float16: bool) -> str:
        seen.append((int(clip), in_float16))
        return "layer 'conv'"

    lines: list[str] = []
    swapped = Candidate("the graph", runtime([-3.0, 1.5, 1.0, 30.0]), None, explain)
    with pytest.raises(UserError) as caught:
        prove(runtime(BEFORE), swapped, CLIPS, limits(EXPORTED["int8"]), lines.append)
    assert caught.value.exit_code == 4
    line = str(caught.value)
    assert line.startswith("the graph does not keep the answer: expected |Δp| at most 0.05, |ΔAUC|")
    assert "1 flips of 4" in line and "ΔAUC -0.2500" in line  # one pair of four
    assert line.endswith("; nothing was written; layer 'conv'")
    assert seen == [(1, False)] and len(lines) == 1  # measured before it was judged


@pytest.mark.parametrize("noise", [False, True], ids=["clips", "noise"])
def test_float16_is_judged_by_its_own_limits(noise: bool):
    seen: list[tuple[int, bool]] = []
    candidate = Candidate(
        "the graph",
        runtime([-3.0, -1.0, 1.01, 30.0]),
        runtime([-3.0, -1.0, 0.5, 30.0]),
        lambda clip, in_float16: seen.append((int(clip), in_float16)),
    )
    own = limits(EXPORTED["fp16"], HALF_ON_NOISE if noise else None)
    if noise:
        assert prove(runtime(BEFORE), candidate, CLIPS, own).float16 is not None
        return
    with pytest.raises(UserError, match="the graph, in float16, does not keep the answer"):
        prove(runtime(BEFORE), candidate, CLIPS, own)
    assert seen == [(2, True)]
