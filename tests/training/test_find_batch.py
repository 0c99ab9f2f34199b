"""The batch found is the largest that fits; finding it trains nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("tensorflow")

from keras_ddl import train as training
from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import UserError
from keras_ddl.training.batch_trial import Trial, run_trial
from keras_ddl.training.find_batch import (
    find_batch,
    largest_by_halving,
    largest_by_line,
    rates,
    report,
    row,
)

# 2.4 MiB a clip over a process of some 700: a batch in the hundreds would be needed to see noise.
CONFIG = TrainConfig.from_dict(
    {"frames": 4, "size": 128, "width": 0.25, "backbone": "resnet18", "modules": "none"}
)


@pytest.mark.parametrize(
    ("border", "most", "expected", "asked"),
    [
        (5, 100, 5, [1, 2, 4, 8, 6, 5]),
        (0, 100, 0, [1]),
        (1, 100, 1, [1, 2]),
        (1000, 24, 24, [1, 2, 4, 8, 16, 24]),  # all the clips there are
        (100, 1000, 100, [1, 2, 4, 8, 16, 32, 64, 128, 96, 112, 104, 100]),
        (1000, 1, 1, [1]),
    ],
)
def test_doubling_and_halving(border: int, most: int, expected: int, asked: list[int]) -> None:
    calls: list[int] = []

    def fits(number: int) -> bool:
        calls.append(number)
        return number <= border

    assert largest_by_halving(fits, most) == expected
    assert calls == asked


@pytest.mark.parametrize(
    ("limit", "most", "expected", "asked"),
    [
        # peak = 700 + 10 n: by hand, the largest n is (limit − 700) / 10
        (800, 100, 10, [1, 4, 10]),
        (1000, 100, 30, [1, 4, 30]),
        (2000, 1000, 130, [1, 4, 32, 130]),  # not further out than 8 times at once
        (2000, 50, 50, [1, 4, 32, 50]),
        (705, 100, 0, [1]),
        (725, 100, 2, [1, 4, 2]),
        (2000, 1, 1, [1]),
    ],
)
def test_a_line_names_the_batch(limit: int, most: int, expected: int, asked: list[int]) -> None:
    calls: list[int] = []

    def peak(number: int) -> float:
        calls.append(number)
        return 700 + 10 * number

    assert largest_by_line(peak, limit, most) == expected
    assert calls == asked


@pytest.mark.parametrize(
    "peak",
    [
        lambda n: 700 + 10 * n + (0.05 * n**2),  # steeper than the first two say
        lambda n: 700 + 10 * n - 0.01 * n**2,  # flatter
        lambda n: 700 + 10 * n + (15 if n == 1 else 0),  # noise larger than the slope
        lambda n: 700 + 10 * n if n < 37 else math.inf,  # killed
    ],
    ids=["steeper", "flatter", "noise", "killed"],
)
def test_what_is_not_a_line_is_found_all_the_same(peak: Callable[[int], float]) -> None:
    found = largest_by_line(peak, 1200, 1000)
    true = max(n for n in range(1, 200) if peak(n) <= 1200)
    assert peak(found) <= 1200 and true - found <= true / 16 + 1


@pytest.mark.slow
def test_the_batch_found_fits_and_a_clearly_larger_one_does_not() -> None:
    rows: list[str] = []

    def limit() -> float:
        return float(rows[1].split()[1]) + 100  # over what the smallest batch took

    found = find_batch(CONFIG, 10_000, limit, "auto", rows.append, 0)
    assert found.batch > 1 and found.fits and found.peak_mib <= limit()
    assert run_trial(CONFIG, 2 * found.batch, "auto", 0).peak_mib > limit()
    assert rows[0].split() == ["batch", "peak", "MiB", "s/step", "clips/s"]
    assert [int(line.split()[0]) for line in rows[1:3]] == [1, 4]
    assert row(found, found.batch) in rows


@pytest.mark.slow
def test_the_command_trains_nothing(
    flicker_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Twins: even batches. 300 MiB are less than TensorFlow alone takes."""
    monkeypatch.chdir(tmp_path)
    settings = ["frames=4", "size=32", "width=0.125", "network=shallownet", "twins=true"]
    command = ["--prepared", str(flicker_set), "--find-batch", "--set", *settings]
    assert training.main([*command, "--memory-limit", "300"]) == 3
    out, error = capsys.readouterr()
    assert out.splitlines()[1].split()[0] == "2"
    assert "error: not even a batch of 2 fits into 254 MiB; set a smaller size" in error
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(SystemExit):
        training.main([*command, "--out", "run"])


def test_what_it_cannot_try_is_said(flicker_set: Path) -> None:
    with pytest.raises(UserError, match="find the batch of one worker, then set it times"):
        report(CONFIG, flicker_set, "multiworker", 0)
    with pytest.raises(UserError, match="a trial step failed: strategy: expected one of auto"):
        run_trial(CONFIG, 1, "horovod", 0)


def test_what_the_batch_makes_of_the_learning_rate() -> None:
    found = Trial(48, True)
    config = TrainConfig(learning_rate=1e-3, base_batch=12, warmup_steps=100)
    line = rates(config, found)
    assert "0.001 as set (scale_lr empty)" in line
    assert "0.004 with scale_lr=linear, 0.002 with scale_lr=sqrt" in line
    assert "0.002 as set (scale_lr=sqrt)" in rates(
        TrainConfig(learning_rate=1e-3, base_batch=12, scale_lr="sqrt"), found
    )


def test_a_trial_without_memory_is_a_row_too() -> None:
    assert row(Trial(0, False), 64).split() == ["64", "—", "out", "of", "memory"]
    assert row(Trial(64, True, 1000.4, 0.5), 64).split() == ["64", "1000", "0.500", "128.0"]
