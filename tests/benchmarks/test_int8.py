"""The second part of the bench: what its rounds say, and that the first part's stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.networks.int8 import FORMS, main, summary, table
from benchmarks.settings import merge_json


def test_rates_shares_and_ratios_by_hand():
    # A matrix product of 2 · 2048³ operations in 1 s, then, slowed down, in 2 s: 17.18 GFLOP/s.
    seconds = {
        ("fp32", 1): [2.0, 4.0],
        ("fp32", 4): [6.0, 12.0],
        ("int8", 1): [1.0, 2.0],
        ("int8", 4): [5.0, 10.0],
        ("peak", 1): [1.0, 2.0],
    }
    memory = {key: {"peak_mib": 100.0} for key in seconds}
    found = summary(2048**3 / 1e9, seconds, memory)
    rows = {(row["form"], row["batch"]): row for row in found["rows"]}
    assert set(rows) == set(seconds) - {("peak", 1)}
    assert found["matmul_peak_gflops"] == pytest.approx(0.75 * 17.179869)
    # A clip is as many operations as the product: 2 s for it are half of the peak, round by round.
    assert rows["fp32", 1]["share_of_peak"] == pytest.approx(0.5)
    assert rows["fp32", 4]["share_of_peak"] == pytest.approx(4 / 6)
    assert rows["int8", 1]["speedup"] == pytest.approx(2.0)
    assert rows["int8", 4]["speedup"] == pytest.approx(1.2)
    assert rows["fp32", 4]["per_clip_of_batch_1"] == pytest.approx(0.75)
    assert rows["int8", 4]["per_clip_of_batch_1"] == pytest.approx(1.25)
    assert rows["int8", 4]["clips_per_s"] == pytest.approx(4 / 7.5)
    assert rows["fp32", 1]["p50_ms"] == pytest.approx(3000)
    assert rows["fp32", 1]["p90_ms"] == pytest.approx(3800)


def test_the_other_part_is_kept(tmp_path: Path):
    path = tmp_path / "runs" / "bench.json"
    merge_json(path, {"networks": {"plain": 1}, "int8": "old"})
    merge_json(path, {"int8": {"rows": []}})
    assert json.loads(path.read_text()) == {"networks": {"plain": 1}, "int8": {"rows": []}}


def test_the_table_shows_every_number_in_its_column():
    row = {
        "form": "int8, CPU form",
        "batch": 4,
        "clips_per_s": 3.456,
        "p50_ms": 1157.0,
        "p90_ms": 1200.0,
        "p99_ms": 1300.0,
        "peak_memory_mib": 900.0,
        "share_of_peak": 1.4,
        "speedup": 1.7,
        "per_clip_of_batch_1": 0.98,
    }
    settings = {"size": 256, "frames": 8, "threads": 2, "rounds": 9}
    result = {
        "settings": settings,
        "gmac": 27.2,
        "matmul_peak_gflops": 223.0,
        "rows": [row],
        "integer_convolutions": {"int8, CPU form": "152 of 163"},
    }
    lines = table(result).splitlines()
    assert lines[-2].split() == "int8, CPU form 4 3.46 1157 1200 1300 900 140% 1.70 0.98".split()
    assert lines[-1].endswith("int8, CPU form 152 of 163")


@pytest.mark.slow
def test_every_form_is_measured(tmp_path: Path):
    pytest.importorskip("tensorflow")
    out = tmp_path / "bench.json"
    small = ["--size=32", "--frames=4", "--width=0.125", "--rounds=2", "--threads=1"]
    assert main([*small, f"--out={out}"]) == 0
    result = json.loads(out.read_text())["int8"]
    assert [(row["form"], row["batch"]) for row in result["rows"]] == [
        (form, batch) for form in FORMS for batch in (1, 4)
    ]
    assert all(row["p50_ms"] > 0 and row["peak_memory_mib"] > 10 for row in result["rows"])
    fused = {form: int(text.split()[0]) for form, text in result["integer_convolutions"].items()}
    assert fused["fp32"] == 0 < fused["int8"] < fused["int8, CPU form"]
