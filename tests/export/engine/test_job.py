"""Limits of a graph for an engine: what is judged on noise, and what on clips of faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from export.engine.job import Job
from export.parity.agreement import HALF_ON_NOISE, PREPARED
from export.parity.clips import ClipSet, ParityClips
from keras_ddl.edge.clipspec import ClipSpec


def limits(precision: str, noise: bool, tolerance: float | None = None) -> Any:
    clips = np.zeros((1, 8, 32, 32, 3), np.uint8)
    given = ClipSet(clips, ParityClips(clips, None, "clips"), calibrated=not noise)
    nothing: Any = None
    job = Job(
        bundle=nothing,
        spec=ClipSpec(size=32),
        proto=nothing,
        target=nothing,
        machine=nothing,
        options=nothing,
        clips=given,
        ranges="max",
        tolerance=tolerance,
        profile=False,
    )
    return job.limits(precision)


def test_on_noise_float16_may_choose_other_positions_and_not_overflow() -> None:
    """The logits of the network that `make demo` trains were 6.6 % apart there."""
    found = limits("fp16", noise=True)
    assert found.tolerance.logit == HALF_ON_NOISE.logit
    assert found.tolerance.probability == PREPARED["fp16"].probability
    assert found.float16 == HALF_ON_NOISE


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_clips_of_faces_are_judged_as_the_precision_is(precision: str) -> None:
    found = limits(precision, noise=False)
    assert found.tolerance == found.float16 == PREPARED[precision]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_noise_changes_nothing_else(precision: str) -> None:
    assert limits(precision, noise=True).tolerance == PREPARED[precision]


def test_an_asked_tolerance_is_the_probabilitys() -> None:
    for noise in (False, True):
        assert limits("fp16", noise, 0.3).tolerance.probability == 0.3
