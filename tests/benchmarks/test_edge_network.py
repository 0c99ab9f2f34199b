"""The edge network's table: what its ratios and shares are of."""

from __future__ import annotations

import pytest

pytest.importorskip("onnxruntime")

from benchmarks.networks.edge_network import CONVOLUTION, FP32, INT8, MATMUL, PLAIN, summary, table


def test_shares_are_of_the_convolution_and_ratios_of_the_plain_network_in_the_same_form() -> None:
    product, convolution = 2 * 2048**3, 2 * (128 * 3 * 56) ** 2
    seconds = {
        (PLAIN, FP32): [0.1, 0.2, 0.1],
        (PLAIN, INT8): [0.05] * 3,
        ("stage6", FP32): [0.12, 0.24, 0.12],
        ("stage6", INT8): [0.06] * 3,
        (MATMUL, ""): [product / 100e9] * 3,
        (CONVOLUTION, ""): [convolution / 50e9] * 3,
    }
    memory = {subject: {"peak_mib": 100.0} for subject in seconds}
    found = summary({PLAIN: 1.0, "stage6": 1.2}, seconds, memory)
    assert found["peaks_gflops"] == pytest.approx({MATMUL: 100.0, CONVOLUTION: 50.0})
    rows = {(row["network"], row["form"]): row for row in found["rows"]}
    assert rows["stage6", FP32]["to_plain"] == pytest.approx(1.2)
    assert rows["stage6", INT8]["to_plain"] == pytest.approx(1.2)
    assert rows["stage6", INT8]["speedup"] == pytest.approx(2.0)
    assert rows[PLAIN, FP32]["share_of_convolution"] == pytest.approx(2 / 0.1 / 50)
    steps = {PLAIN: {"s": 1.0, "to_plain": 1.0}, "stage6": {"s": 1.3, "to_plain": 1.3}}
    text = table({**found, "settings": {"threads": 2, "rounds": 3}, "training_step": steps})
    assert "MatMul 100 GFLOP/s, convolution 50 GFLOP/s" in text
    assert text.splitlines()[-1] == "training step of 8 clips, stage6: 1.30 s, 1.30 of plain"
