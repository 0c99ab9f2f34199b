"""The prediction against hand arithmetic."""

from __future__ import annotations

import pytest

from benchmarks.training.scaling import compute_seconds, main, predicted_step, ring_all_reduce


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (1, 0.0),  # nobody to talk to
        (2, 1.0),  # 2 · 1/2 · 100 bytes over 100 bytes/s
        (4, 1.5),
        (8, 1.75),
    ],
)
def test_every_link_carries_nearly_twice_the_gradients(devices: int, expected: float) -> None:
    assert ring_all_reduce(100, devices, 100) == expected


def test_three_passes_of_two_operations_each() -> None:
    # 10 GMAC = 20 GFLOP forward, 60 with backward; 5 clips; 1 TFLOP/s, of which half is reached
    assert compute_seconds(10, 5, 1e12, 0.5) == pytest.approx(300 / 500)


def test_what_is_not_hidden_is_added() -> None:
    # 3 s of compute, 2 s of them backward; 1.5 s of travel, of which half of 2 s can hide
    step = predicted_step(3.0, 100, (4, 100), overlap=0.5)
    assert (step.all_reduce, step.exposed, step.seconds) == (1.5, 0.5, 3.5)
    assert step.efficiency == pytest.approx(3 / 3.5)
    assert predicted_step(3.0, 100, (4, 100)).seconds == 4.5
    assert predicted_step(3.0, 100, (4, 100), overlap=1).efficiency == 1
    assert predicted_step(3.0, 100, (1, 100)).efficiency == 1


def test_a_host_that_decodes_too_slowly_is_waited_for() -> None:
    # 8 devices · 4 clips at 4 clips/s take 8 s, compute and travel 3 + 1.5
    slow = predicted_step(3.0, 100, (4, 100), host=(32, 4.0))
    assert (slow.input, slow.seconds, slow.efficiency) == (8.0, 8.0, 3 / 8)
    assert predicted_step(3.0, 100, (4, 100), host=(32, 64.0)).seconds == 4.5


def test_the_table_against_hand_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    """1 GMAC: 6 GFLOP a clip. 10 clips at 60 GFLOP/s, all of them reached: 1 s a step.

    3.125e9 / 4 parameters are 3.125 GB: 1 s over Ethernet, times 2 · 63/64; over NVLink
    2 · 7/8 · 3.125 / 300 s. Decoding: 80 clips of a host at 80 clips/s take 1 s.
    """
    options = ["--gmac=1", "--clips=10", "--flops=60e9", "--utilisation=1", "--decode=10"]
    assert main([*options, "--threads=8", f"--parameters={3.125e9 / 4}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "predicted, not measured"
    one, ethernet = lines[2].split(), lines[4].split()
    assert one == ["8", "NVLink", "1000.0", "18.23", "1000.0", "1018.2", "79", "98.2%"]
    assert ethernet[-6:] == ["1000.0", "1968.75", "1000.0", "2968.8", "216", "33.7%"]
