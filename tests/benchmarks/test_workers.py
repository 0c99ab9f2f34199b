"""What is said of efficiency follows from the times; the times are those of real workers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from benchmarks.training import workers as efficiency
from benchmarks.training.workers import INPUTS, SETTINGS, summary, table


def test_shares_against_hand_arithmetic() -> None:
    """The second round is twice as slow for all, as with a neighbour at work."""
    first = {
        ("alone", "disk"): 1.0,
        ("alone", "memory"): 0.8,
        ("apart", "disk"): 1.25,
        ("apart", "memory"): 1.2,
        ("together", "disk"): 2.0,
        ("together", "memory"): 1.6,
    }
    found = summary({key: [value, 2 * value] for key, value in first.items()})
    assert found["efficiency"] == pytest.approx(0.5)  # 1.0 / 2.0
    assert found["machine"] == pytest.approx(0.8)  # 1.0 / 1.25
    assert found["input_share"] == pytest.approx(0.2)  # (2.0 − 1.6) / 2.0
    assert found["all_reduce_share"] == pytest.approx(0.2)  # (1.6 − 1.2) / 2.0
    assert found["step_s"]["together"] == pytest.approx({"disk": 3.0, "memory": 2.4})
    text = table({"settings": {"batch_per_worker": 6}, **found})
    rows = [line.split()[-3:] for line in text.splitlines()[1:4]]
    assert rows[0] == ["1.500", "4.0", "1.200"]  # 6 clips / 1.5 s
    assert rows[2] == ["3.000", "4.0", "2.400"]  # 2 · 6 clips / 3 s
    assert "efficiency 50%, of 80% that" in text
    assert "input 20.0%, all-reduce 20.0%" in text


def test_one_core_is_not_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0}, raising=False)
    assert efficiency.main([]) == 3
    assert "error: expected two cores to pin workers to, received 1" in capsys.readouterr().err


@pytest.mark.slow
def test_two_real_workers(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    out = tmp_path / "efficiency.json"
    settings = ["frames=4", "size=32", "width=0.125", "modules=none", "batch=4"]
    options = ["--steps", "2", "--rounds", "2", "--out", str(out), "--set", *settings]
    assert efficiency.main(options) == 0
    found = json.loads(out.read_text())
    assert {(s, i) for s, row in found["step_s"].items() for i in row} == {
        (setting, source) for setting in SETTINGS for source in INPUTS
    }
    assert found["settings"]["batch_per_worker"] == 4
    # Two cannot be faster than one at the same batch each, but for noise, and a collective is work.
    assert 0 < found["efficiency"] < 1.5 and found["all_reduce_share"] > 0
