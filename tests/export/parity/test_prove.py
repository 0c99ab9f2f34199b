"""One gate: what it measures, what it refuses, and what it says then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from export.parity.agreement import EXPORTED, Answers, Tolerance
from export.parity.clips import ParityClips
from export.parity.prove import Candidate, Limits, prove
from keras_ddl.edge.errors import UserError

# A clip is a number here, and a runtime a margin for each.
CLIPS = ParityClips(np.arange(4, dtype=np.uint8), np.array([0, 0, 1, 1]), "clips")
BEFORE = [-3.0, -1.0, 1.0, 30.0]
LOOSE = Tolerance(0.0, 0.05, 0.05, 0.05, 0.1, 0.1, 0.1, 0.05)
REPORT = "parity{} on 4 clips: {}"


def runtime(margins: list[float], noisy: list[float] | None = None) -> Any:
    """Answers by a clip's number; `noisy` to the clips that one grey level was added to."""

    def ask(clips: np.ndarray) -> Answers:
        changed = noisy is not None and not np.array_equal(clips, CLIPS.clips)
        margin = np.array(noisy) if changed else np.array(margins)[clips]
        return Answers(1 / (1 + np.exp(-margin)), margin, None, "some runtime")

    return ask


def limits(tolerance: Tolerance) -> Limits:
    return Limits(tolerance, 0.5, "nothing was written")


def test_all_clips_are_measured_in_both_ways():
    lines: list[str] = []
    half = runtime([-3.0, -1.0, 1.2, 30.0])
    candidate = Candidate("the graph", runtime([-3.0, -1.0, 1.1, 30.0]), half)
    proof = prove(runtime(BEFORE), candidate, CLIPS, limits(LOOSE), lines.append)
    spread = proof.agreement.spread
    assert (proof.agreement.clips, proof.agreement.worst) == (4, 2)
    assert proof.agreement.logit * spread == pytest.approx(0.1) and proof.agreement.auc == 0
    assert proof.float16 is not None and proof.float16.clips == 4
    assert proof.float16.logit * spread == pytest.approx(0.2)
    assert lines == [
        REPORT.format("", proof.agreement),
        REPORT.format(" truly in float16", proof.float16),
    ]


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
        prove(runtime(BEFORE), swapped, CLIPS, limits(LOOSE), lines.append)
    assert caught.value.exit_code == 4
    line = str(caught.value)
    assert line.startswith("the graph does not keep the answer: expected mean |Δp| at most 0.05, ")
    assert "1 flips of 4" in line and "ΔAUC -0.2500" in line  # one pair of four
    assert line.endswith("; nothing was written; layer 'conv'")
    assert seen == [(1, False)] and len(lines) == 1  # measured before it was judged


def test_float16_is_judged_too():
    seen: list[tuple[int, bool]] = []
    candidate = Candidate(
        "the graph",
        runtime([-3.0, -1.0, 1.01, 30.0]),
        runtime([-3.0, -1.0, 0.0, 30.0]),
        lambda clip, in_float16: seen.append((int(clip), in_float16)),
    )
    with pytest.raises(UserError, match="the graph, in float16, does not keep the answer"):
        prove(runtime(BEFORE), candidate, CLIPS, limits(EXPORTED["fp16"]))
    assert seen == [(2, True)]


def test_what_noise_changes_rounding_may_change():
    lines: list[str] = []
    candidate = Candidate("the graph", runtime([-3.0, -1.0, 0.5, 30.0]))  # 0.109 of probability
    steady = runtime(BEFORE, noisy=BEFORE)

    def dull(clips: np.ndarray) -> Answers:
        """Rounds its input: one grey level is not seen."""
        near = np.abs(clips.astype(int) - CLIPS.clips).max() < 2
        return runtime(BEFORE if near else [-3.0, -1.0, 0.4, 30.0])(CLIPS.clips)

    with pytest.raises(UserError, match=r"mean \|Δp\|"):
        prove(steady, candidate, CLIPS, limits(EXPORTED["fp16"]), lines.append)
    assert len(lines) == 2 and lines[1].startswith("noise of 4 of 255 changes the reference's own")
    looked: list[str] = []
    prove(dull, candidate, CLIPS, limits(EXPORTED["fp16"]), looked.append)
    assert looked[1].startswith("noise of 2 of 255 changes the reference's own")
    shaky = runtime(BEFORE, noisy=[-3.0, -1.0, 0.4, 30.0])
    assert prove(shaky, candidate, CLIPS, limits(EXPORTED["fp16"])).float16 is None
    with pytest.raises(UserError, match=r"mean \|Δp\|"):  # float32 has to keep to its bounds
        prove(shaky, candidate, CLIPS, limits(EXPORTED["fp32"]))


def test_int8_is_measured_by_noise_of_its_own_step():
    """The first level asked is the tolerance's, though the reference sees a finer one."""
    lines: list[str] = []
    candidate = Candidate("the graph", runtime([-3.0, -1.0, 0.5, 30.0]))
    shaky = runtime(BEFORE, noisy=[-3.0, -1.0, 0.4, 30.0])
    for level, tolerance in ((1, EXPORTED["fp16"]), (2, replace(EXPORTED["fp16"], level=2))):
        lines.clear()
        prove(shaky, candidate, CLIPS, limits(tolerance), lines.append)
        assert lines[1].startswith(f"noise of {level} of 255 changes")


def test_a_map_that_shows_rounding_alone_is_judged_by_what_noise_does_to_it():
    """Of modules that almost sleep: stretched to [0, 1], whatever was found."""

    def drawn(share: float) -> Any:
        def ask(clips: np.ndarray) -> Answers:
            maps = np.full((len(clips), 1, 2, 2), share) + np.asarray(clips)[:, None, None, None]
            return replace(runtime(BEFORE, noisy=BEFORE)(clips), map=maps)

        return ask

    candidate = Candidate("the graph", drawn(0.05))
    # One grey level turns the lowest bit of some clips, and so their whole map.
    prove(drawn(0.0), candidate, CLIPS, limits(EXPORTED["fp32"]))

    def steady(clips: np.ndarray) -> Answers:
        same = np.zeros((len(clips), 1, 2, 2))
        return replace(runtime(BEFORE, noisy=BEFORE)(clips), map=same)

    other = Candidate("the graph", lambda clips: replace(steady(clips), map=steady(clips).map + 1))
    with pytest.raises(UserError, match=r"map mean at most 0\.002"):
        prove(steady, other, CLIPS, limits(EXPORTED["fp32"]))
