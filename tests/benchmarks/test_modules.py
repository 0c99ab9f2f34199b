"""The bench compares what it says it compares."""

from __future__ import annotations

from functools import partial

import pytest

from benchmarks.networks.modules import table
from export import clips_per_second
from export.clips_per_second import in_turn, ratio


def test_subjects_take_turns_after_one_untimed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    ticks = iter(range(100))
    monkeypatch.setattr(clips_per_second, "perf_counter", lambda: float(next(ticks)))
    seconds = in_turn({name: partial(calls.append, name) for name in "ab"}, rounds=2)
    assert calls == ["a", "b", "a", "b", "a", "b"]
    assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_ratio_is_taken_round_by_round() -> None:
    # A slow second round slows both; the ratio of the medians would be the same only by luck.
    assert ratio([2.0, 20.0, 3.0], [1.0, 10.0, 1.0]) == 2.0


def test_table_shows_every_number_in_its_column() -> None:
    row = {
        "gmac": 20.8,
        "onnxruntime_s": 0.15,
        "onnxruntime_ratio": 1.0,
        "share_of_peak": 0.65,
        "peak_memory_mib": 300.0,
        "tensorflow_s": 0.3,
        "tensorflow_ratio": 1.0,
        "training_step_s": 1.2,
        "training_step_ratio": 1.0,
    }
    settings = {"size": 256, "frames": 8, "threads": 2, "rounds": 3, "steps": 2, "batch": 1}
    text = table({"settings": settings, "matmul_peak_gflops": 404.0, "networks": {"plain": row}})
    assert text.splitlines()[-1].split() == [
        "plain",
        "20.8",
        "│",
        "0.150",
        "1.00",
        "65%",
        "300",
        "│",
        "0.300",
        "1.00",
        "│",
        "1.200",
        "1.00",
    ]


def test_ratio_needs_equal_rounds() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1.0, 2.0], [1.0])
