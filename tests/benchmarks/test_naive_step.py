"""What is measured against the naive algebra is what it says, in a process of its own each."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from benchmarks.networks.naive_step import MODULES, NETWORK, main, table


def row(seconds: float, ratio: float) -> dict[str, float]:
    return {"seconds": seconds, "ratio": ratio, "peak_mib": 900.0, "step_mib": 300.0}


def test_table_shows_every_row_and_what_the_modules_add() -> None:
    result = {
        "settings": {"size": 256, "frames": 8, "width": 1.0, "batch": 1, "threads": 2, "steps": 3},
        "modules": {"ours": row(1.0, 1.0), "naive": row(2.5, 2.5)},
        "network": {"plain": row(1.0, 0.5), "ours": row(2.0, 1.0), "naive": row(4.0, 2.0)},
    }
    lines = table(result).splitlines()
    assert lines[3].split() == ["modules,", "naive", "2.500", "2.50", "900", "300"]
    assert [line.split(",")[0] for line in lines[2:7]] == ["modules"] * 2 + ["network"] * 3
    assert lines[-1].endswith("naive ÷ ours 3.00")  # (4 − 1) / (2 − 1)


@pytest.mark.slow
def test_every_subject_is_measured(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    small = ["--size", "32", "--frames", "4", "--width", "0.125", "--steps", "2"]
    assert main([*small, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert tuple(result["modules"]) == (MODULES if find_spec("torch") else MODULES[:-1])
    assert tuple(result["network"]) == NETWORK
    for rows in (result["modules"], result["network"]):
        assert rows["ours"]["ratio"] == 1
        for measured in rows.values():
            assert measured["seconds"] > 0 and measured["peak_mib"] > measured["step_mib"] > 0
