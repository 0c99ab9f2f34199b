"""Limits of a graph for an engine: what is judged on noise, and what on clips of faces."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")

from deploy.backends.gpu import Gpu
from export.engine import job as jobs
from export.engine.job import Job, Machine
from export.parity.agreement import HALF_ON_NOISE, PREPARED
from export.parity.clips import ClipSet, ParityClips
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError


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


def test_on_noise_float16_has_looser_bounds() -> None:
    assert limits("fp16", noise=True).tolerance == HALF_ON_NOISE


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_clips_of_faces_are_judged_as_the_precision_is(precision: str) -> None:
    found = limits(precision, noise=False)
    assert found.tolerance == PREPARED[precision]


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_noise_changes_nothing_else(precision: str) -> None:
    assert limits(precision, noise=True).tolerance == PREPARED[precision]


def test_an_asked_tolerance_is_the_probabilitys() -> None:
    for noise in (False, True):
        assert limits("fp16", noise, 0.3).tolerance.probability == 0.3


# TensorRT here, TensorRT-RTX here, GPUs → the target that auto takes, what is missing
MACHINES = [
    (True, True, 1, "trt", ""),
    (True, False, 1, "trt", ""),
    (False, True, 1, "rtx", ""),
    (True, True, 0, "rtx", ""),  # TensorRT builds only where it runs
    (False, True, 0, "rtx", ""),
    (True, False, 0, "trt", "no GPU; an engine can be built without a GPU too: pip install"),
    (False, False, 1, "trt", "TensorRT does not load"),
    (False, False, 0, "trt", "TensorRT does not load"),
]


@pytest.mark.parametrize(("trt", "rtx", "count", "taken", "missing"), MACHINES)
def test_auto_takes_what_can_build_here(
    trt: bool, rtx: bool, count: int, taken: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Gpu("GPU", (8, 9))] * count

    def first() -> Gpu:
        if not found:
            raise UserError("no GPU", 3)
        return found[0]

    for name, here in (("tensorrt", trt), ("tensorrt_rtx", rtx)):
        module = SimpleNamespace(__version__="10.3.0") if here else None
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(jobs, "first_gpu", first)
    monkeypatch.setattr(jobs, "gpus", lambda: found)
    machine = Machine.look()
    assert machine.library.key == taken
    assert bool(machine.missing) == bool(missing)
    assert missing in str(machine.missing or "")
    assert "\n" not in str(machine.missing)
