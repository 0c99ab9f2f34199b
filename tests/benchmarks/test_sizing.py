"""The estimate against hand arithmetic."""

from __future__ import annotations

import pytest

from benchmarks.networks.sizing import DEVICES, Device, MlperfResult, Work, estimate, main
from keras_ddl.edge.errors import UserError

# 1000 images of 3.86 GMAC a second are 7.72e12 operations of 15.44e12.
HALF = MlperfResult(images=1000, int8=15.44e12, device="some")
DEVICE = Device(fp16=10e12, int8=20e12, bandwidth=100e9, mlperf=HALF)


def test_the_share_of_the_peak_is_what_resnet_reached():
    assert HALF.utilisation == pytest.approx(0.5)
    # 6036 images/s · 2 · 3.86e9 = 46.6e12 of 130e12; 31064 → 239.8e12 of 624e12.
    assert DEVICES["T4"].mlperf.utilisation == pytest.approx(0.3584, abs=1e-4)
    assert DEVICES["A100 80GB SXM"].mlperf.utilisation == pytest.approx(0.3843, abs=1e-4)
    assert DEVICES["Orin Nano 8GB"].mlperf is DEVICES["Orin NX 16GB"].mlperf
    for name, device in DEVICES.items():
        assert 0 < device.mlperf.utilisation < 1
        assert name.startswith(("Orin Nano", device.mlperf.device))


def test_the_slower_of_operations_and_bytes_decides():
    # 50 GMAC = 100 GOP at half of 10 TOP/s: 20 ms. 2 bytes · (2 · 100e6 + 100e6) at 100 GB/s: 6 ms.
    found = estimate(Work(50, 100e6, 100e6), DEVICE, "fp16", 0.5)
    assert (found.compute, found.memory) == pytest.approx((0.020, 0.006))
    assert found.bound == "compute" and found.clips == pytest.approx(50)
    # Ten times the activations: 2 · (2000e6 + 100e6) bytes, 42 ms.
    slow = estimate(Work(50, 1e9, 100e6), DEVICE, "fp16", 0.5)
    assert slow.bound == "memory" and slow.clips == pytest.approx(1 / 0.042)


def test_int8_halves_the_bytes_and_all_but_a_share_of_the_operations():
    # 3.5 % of 20 ms stay; the rest takes half: 0.7 + 9.65 ms. 1 byte · 300e6 at 100 GB/s: 3 ms.
    found = estimate(Work(50, 100e6, 100e6), DEVICE, "int8", 0.5)
    assert (found.compute, found.memory) == pytest.approx((0.01035, 0.003))


def test_a_batch_reads_the_weights_once():
    found = estimate(Work(50, 100e6, 100e6), DEVICE, "fp16", 0.5, batch=4)
    assert found.memory == pytest.approx(2 * 225e6 / 100e9)
    assert found.compute == pytest.approx(0.020)


@pytest.mark.parametrize(("utilisation", "batch"), [(0, 1), (1.1, 1), (0.5, 0)])
def test_what_makes_no_sense_is_refused(utilisation: float, batch: int):
    with pytest.raises(UserError, match="expected a utilisation"):
        estimate(Work(1, 1, 1), DEVICE, "fp16", utilisation, batch)


def test_the_table_by_hand(capsys: pytest.CaptureFixture[str]):
    # T4: 65e12 operations/s at 1: 32.5 GMAC take 1 ms; 4 bytes · 160e6 at 320 GB/s take 2 ms.
    options = ["--gmac=32.5", "--activations=160e6", "--weights=0", "--utilisation=1"]
    assert main([*options, "--every=0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "~ estimates, not measured"
    (row,) = [line.split() for line in lines if line.startswith("T4") and "fp16" in line]
    assert row == [
        "T4",
        "fp16",
        "100%",
        "~1.00",
        "~2.00",
        "~500",
        "~250",
        "memory",
        "--utilisation",
    ]


def test_without_a_share_the_published_one_is_taken_and_named(capsys: pytest.CaptureFixture[str]):
    # 31.2 GMAC = 62.4e9 operations at 312e12 · 0.3843: 0.5204 ms; nothing to move.
    assert main(["--gmac=31.2", "--activations=0", "--weights=0"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("A100") and "fp16" in line]
    assert row.split()[3:9] == ["fp16", "38%", "~0.52", "~0.00", "~1922", "~960"]
    assert row.endswith("compute   ResNet-50 on A100")
    nano = next(line for line in lines if line.startswith("Orin Nano"))
    assert nano.endswith("ResNet-50 on Orin NX")
