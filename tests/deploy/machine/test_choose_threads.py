"""Threads of a small network: which backend is kept, and when nothing is tried."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")

from deploy.machine import choose_threads
from deploy.machine.choose_threads import open_with_threads


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(choose_threads, "LONG_S", float("inf"))


@pytest.mark.parametrize(
    ("margin", "words"), [(float("inf"), "1 thread ("), (0.0, "all threads (")]
)
def test_the_chosen_one_is_open_and_said(
    filmed_bundle: Path, monkeypatch: pytest.MonkeyPatch, margin: float, words: str
) -> None:
    monkeypatch.setattr(choose_threads, "MARGIN", margin)
    bundle, backend, said = open_with_threads(filmed_bundle, None, "cpu")
    assert said.startswith(words) and "ms a clip with one, " in said
    spec = bundle.spec
    clip = np.zeros((1, spec.frames, spec.size, spec.size, 3), np.uint8)
    with backend:
        assert backend.infer({"clip": clip})["fake_probability"].shape == (1,)


def test_nothing_is_tried_where_somebody_says_how_many(filmed_bundle: Path) -> None:
    _, backend, said = open_with_threads(filmed_bundle, 2, "cpu")
    backend.close()
    assert said == ""


def test_nothing_is_tried_with_a_large_network_or_one_core(
    filmed_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose_threads, "LONG_S", 0.0)
    _, backend, said = open_with_threads(filmed_bundle, None, "cpu")
    backend.close()
    assert said == ""
    monkeypatch.setattr(choose_threads, "LONG_S", float("inf"))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    _, backend, said = open_with_threads(filmed_bundle, None, "cpu")
    backend.close()
    assert said == ""
