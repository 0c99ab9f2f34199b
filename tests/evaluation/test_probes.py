"""Probes: a network that goes by blur or flicker is caught, one that goes by nothing is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")
pytest.importorskip("tensorflow")

from keras_ddl.evaluation.probes import PROBES, probe


def split(count: int = 12, side: int = 48) -> Any:
    """Reals of structure of their own, and as many fakes, which are passed over."""
    random = np.random.default_rng(0)
    coarse = random.integers(60, 190, (2 * count, 1, side // 4, side // 4, 3))
    clips = np.repeat(np.kron(coarse, np.ones((1, 1, 4, 4, 1))), 8, axis=1)
    clips = (clips + random.integers(-9, 9, (2 * count, 1, side, side, 3))).astype(np.uint8)
    rows = [{"start_ms": 0.0, "end_ms": 280.0}] * len(clips)
    return SimpleNamespace(clips=clips, labels=np.repeat([0, 1], count), rows=rows)


class Network:
    """Stands for a network: logits from a number per clip."""

    def __init__(self, measure: Any) -> None:
        self.measure = measure

    def predict_on_batch(self, clips: np.ndarray) -> np.ndarray:
        margin = np.array([self.measure(clip.astype(float)) for clip in clips])
        return np.stack([-margin / 2, margin / 2], 1)


def results(measure: Any) -> dict[str, float]:
    found = probe(Network(measure), split(), 1.3)  # type: ignore[arg-type]
    assert [row.clips for row in found] == [12] * len(PROBES)
    return {row.name: row.auc for row in found}


def test_a_network_that_goes_by_flicker_is_caught() -> None:
    found = results(lambda clip: np.abs(np.diff(clip.mean(axis=(1, 2)), axis=0)).mean())
    assert found["whole frame flickers"] == 1.0
    assert found["whole frame blurred, σ 1"] == found["every second frame doubled"] == 0.5


def test_a_network_that_goes_by_blur_is_caught() -> None:
    found = results(lambda clip: -np.abs(np.diff(clip, axis=1)).mean())
    assert found["whole frame blurred, σ 1"] == 1.0
    assert found["whole frame at half the resolution"] > 0.9
    assert found["every second frame doubled"] == 0.5


def test_a_network_that_goes_by_the_colour_of_the_middle_is_not_fooled() -> None:
    found = results(lambda clip: clip[:, 20:28, 20:28].mean())
    assert all(abs(value - 0.5) < 0.1 for value in found.values()), found


def test_calls_are_counted_at_the_threshold() -> None:
    """Blur moves every clip, and the threshold says whether that makes false alarms."""

    def measure(clip: np.ndarray) -> float:
        return -float(np.abs(np.diff(clip, axis=1)).mean())

    for limit, share in ((-100.0, 1.0), (0.0, 0.0)):
        found = probe(Network(measure), split(), 1.3, limit)  # type: ignore[arg-type]
        blurred = next(row for row in found if "blurred" in row.name)
        assert (blurred.auc, blurred.called, blurred.called_before) == (1.0, share, share)
    between = measure(split().clips[0].astype(float)) + 1.0
    found = probe(Network(measure), split(), 1.3, between)  # type: ignore[arg-type]
    blurred = next(row for row in found if "blurred" in row.name)
    assert blurred.called == 1.0 and blurred.calls().startswith("100%, untouched ")


def test_a_split_without_reals_has_no_probes() -> None:
    data = split()
    data.labels[:] = 1
    assert probe(Network(np.mean), data, 1.3) == ()  # type: ignore[arg-type]
